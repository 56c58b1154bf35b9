-- Conversions between encodings.
select 'conversion' as kind, format('%I.%I', n.nspname, c.conname) as name,
       jsonb_build_object('owner', pg_get_userbyid(c.conowner), 'function', c.conproc::text,
                          'from', pg_encoding_to_char(c.conforencoding), 'to', pg_encoding_to_char(c.contoencoding),
                          'default', c.condefault) as definition
from pg_conversion as c
join pg_namespace as n on n.oid = c.connamespace
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_conversion'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

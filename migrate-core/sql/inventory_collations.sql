-- Collations, without the version of the library that sorts by them.
select 'collation' as kind, format('%I.%I', n.nspname, c.collname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.collowner),
           'provider', case c.collprovider when 'i' then 'icu' when 'b' then 'builtin' when 'c' then 'libc'
                                           else 'default' end,
           'deterministic', case when not c.collisdeterministic then false end,
           'collate', c.collcollate, 'ctype', c.collctype,
           -- Its name changed from version to version.
           'locale', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale'),
           'rules', to_jsonb(c) ->> 'collicurules'
       )) as definition
from pg_collation as c
join pg_namespace as n on n.oid = c.collnamespace
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_collation'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

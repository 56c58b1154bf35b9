-- Access methods of tables and indexes.
select 'access method' as kind, quote_ident(a.amname) as name,
       jsonb_build_object('type', case a.amtype when 't' then 'table' else 'index' end,
                          'handler', a.amhandler::text) as definition
from pg_am as a
where a.oid >= 16384
  and a.oid not in (select objid from pg_depend
      where classid = 'pg_am'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

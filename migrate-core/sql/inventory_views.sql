-- Views and materialized views.
select case c.relkind when 'v' then 'view' else 'materialized view' end as kind,
       format('%I.%I', n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.relowner),
           'definition', pg_get_viewdef(c.oid),
           'options', (select jsonb_agg(o order by o collate "C") from unnest(c.reloptions) as o),
           'populated', case when not c.relispopulated then false end,
           'access_method', (select a.amname from pg_am a where a.oid = c.relam and a.amname <> 'heap'),
           'tablespace', (select s.spcname from pg_tablespace s where s.oid = c.reltablespace)
       )) as definition
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

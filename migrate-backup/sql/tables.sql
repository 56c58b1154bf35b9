-- What has rows and is no system table: its size, whether a dump carries its rows, and what this role may not read.
select c.oid, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind,
       coalesce(pg_table_size(c.oid), 0) as bytes,
       e.extname::text as extension,
       coalesce(c.oid = any (e.extconfig), false) as configures_extension,
       has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
       row_security_active(c.oid) as hides_rows
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
left join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
                        and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
left join pg_extension as e on e.oid = d.refobjid
where c.relkind in ('r', 'p', 'm', 'f') and c.relpersistence <> 't'
  and n.nspname <> all (array['pg_catalog', 'information_schema', 'pg_toast'])
order by n.nspname collate "C", c.relname collate "C"

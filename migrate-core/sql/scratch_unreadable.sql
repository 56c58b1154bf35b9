-- The tables that this role may not read, so that pg_dump could not lock them: as patterns of pg_dump, and as names.
select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
       format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(c.relname, '"', '""')) as pattern
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname <> all (array['pg_catalog', 'information_schema'])
  and n.nspname !~ '^pg_(toast|temp)'
  and not (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))
order by c.oid

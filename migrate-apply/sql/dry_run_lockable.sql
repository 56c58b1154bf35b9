-- The tables that this role may lock against changes; not so many that the lock table of a shared server gets full.
select n.nspname::text as schema, c.relname::text as name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and n.nspname <> all (array['pg_catalog', 'information_schema'])
  and n.nspname !~ '^pg_(toast|temp)' and has_schema_privilege(n.oid, 'usage')
  and has_table_privilege(c.oid, 'update, delete, truncate')
order by c.oid
limit 1000

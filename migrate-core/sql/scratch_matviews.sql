-- The SQL that fills materialized views, which a dump without rows leaves unusable; in the order that they were made in.
select format('refresh materialized view %I.%I', n.nspname, c.relname) as sql
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'm' and not c.relispopulated
order by c.oid

-- Materialized views without their rows.
-- group: integrity
-- pass: every materialized view is filled
-- meaning: It was made or refreshed WITH NO DATA, or restored so. Queries of it fail.
-- hint: refresh it
select format('%I.%I', n.nspname, c.relname) as object, 1::bigint as count, 'it has not been filled' as message,
       format('refresh materialized view %I.%I', n.nspname, c.relname) as fix
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'm' and not c.relispopulated
order by 1

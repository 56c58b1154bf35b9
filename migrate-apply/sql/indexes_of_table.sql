-- The indexes of table $1, and whether a session is building one now.
select i.indexrelid::text as oid, c.relname::text as name, format('%I.%I', n.nspname, c.relname) as qualified,
       i.indisvalid as valid, i.indisready as ready,
       exists (select from pg_stat_progress_create_index as p where p.index_relid = i.indexrelid) as being_built
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
join pg_namespace as n on n.oid = c.relnamespace
where i.indrelid = to_regclass($1)
order by c.relname

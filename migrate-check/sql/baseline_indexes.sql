-- How large indexes are, how often they are used, and whether they keep a constraint.
select format('%I.%I', n.nspname, c.relname) as name, format('%I.%I', tn.nspname, t.relname) as "table",
       pg_relation_size(c.oid) as bytes, coalesce(s.idx_scan, 0) as scans, i.indisunique as is_unique
from pg_index as i
join pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
join pg_namespace as n on n.oid = c.relnamespace
join pg_class as t on t.oid = i.indrelid
join pg_namespace as tn on tn.oid = t.relnamespace
join pg_stat_user_indexes as s on s.indexrelid = c.oid
order by 1

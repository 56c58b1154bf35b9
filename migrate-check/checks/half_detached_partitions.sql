-- Partitions that DETACH CONCURRENTLY left half way.
-- group: integrity preflight
-- needs: version 140000
-- pass: no partition is half detached
-- meaning: DETACH PARTITION … CONCURRENTLY was interrupted. Queries of the parent do not see these rows any more,
--   and no other partition can be detached until it is finished.
-- hint: finish it; then attach it again if it was not meant to go
select format('%I.%I', n.nspname, c.relname) as object, 1::bigint as count,
       format('half detached from %I.%I', pn.nspname, p.relname) as message,
       format('alter table %I.%I detach partition %I.%I finalize', pn.nspname, p.relname, n.nspname, c.relname) as fix
from pg_inherits as i
join pg_class as c on c.oid = i.inhrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_class as p on p.oid = i.inhparent
join pg_namespace as pn on pn.oid = p.relnamespace
where i.inhdetachpending
order by 1

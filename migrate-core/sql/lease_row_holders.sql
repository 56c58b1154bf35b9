-- The session, beside ours, that has changed or locked rows of the lock table and has not committed.
select l.pid, a.usename::text as user, a.application_name as application, a.backend_start, a.state, left(a.query, 200) as query,
       (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as age_ms
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'relation' and l.granted and l.pid <> pg_backend_pid()
  and l.database = (select oid from pg_database where datname = current_database())
  and l.relation = '{ledger:text}._migration_locks'::regclass
  and l.mode in ('RowShareLock', 'RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
order by a.xact_start nulls last
limit 1

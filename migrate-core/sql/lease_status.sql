-- Every lease, or the one of lock $1, with what the server knows of the session that it lives with.
select l.lock_name, l.token, l.owner, l.host, l.pid, l.backend_pid, l.backend_start, l.reason, l.acquired_at,
       l.renewed_at, l.expires_at, l.expires_at < clock_timestamp() as expired,
       l.system_identifier, l.timeline,
       a.pid is not null as backend_alive,
       a.application_name as application,
       case when a.state is not null then concat_ws(': ', a.state, left(nullif(a.query, ''), 200)) end as activity,
       (extract(epoch from clock_timestamp() - a.query_start) * 1000)::bigint as query_age_ms
from {ledger}._migration_locks as l
-- backend_start is hidden from roles that may not see other sessions: then the pid and our name must do.
left join pg_stat_activity as a
    on a.pid = l.backend_pid
    and (a.backend_start = l.backend_start or (a.backend_start is null and a.application_name like 'migrate-%'))
where $1::text is null or l.lock_name = $1
order by l.lock_name

-- The session that a lease lives with ($1 pid, $2 its start), if it is still there.
-- backend_start is hidden from roles that may not see other sessions: then the pid and our name must do.
select a.pid, a.usename::text as user, a.application_name as application, a.backend_start, a.state, left(a.query, 200) as query,
       (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as age_ms
from pg_stat_activity as a
where a.pid = $1
  and (a.backend_start = $2 or (a.backend_start is null and a.application_name like 'migrate-%'))

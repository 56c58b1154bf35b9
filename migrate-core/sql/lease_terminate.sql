-- Ends the session $1 that began at $2 as $3, if it is still that one and one of ours.
select pid, pg_terminate_backend(pid) as sent
from pg_stat_activity
where pid = $1 and backend_start = $2 and application_name = $3 and application_name like 'migrate-%'

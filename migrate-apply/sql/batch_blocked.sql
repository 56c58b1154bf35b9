-- How many sessions wait for a lock that this one has.
select count(distinct l.pid)
from pg_locks as l
where not l.granted and l.pid <> pg_backend_pid() and pg_backend_pid() = any (pg_blocking_pids(l.pid))

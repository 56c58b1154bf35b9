-- The lease with token $1, and whether it is in force.
select lock_name, owner, host, pid, expires_at, expires_at < clock_timestamp() as expired
from {ledger}._migration_locks
where token = $1

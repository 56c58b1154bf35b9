-- The lease of lock $1, locked against any other that wants it; 55P03 says that its owner's transaction is alive.
select token, owner, host, pid, backend_pid, backend_start, reason, acquired_at, renewed_at, expires_at,
       system_identifier, timeline, expires_at < clock_timestamp() as expired
from {ledger}._migration_locks
where lock_name = $1
for update nowait

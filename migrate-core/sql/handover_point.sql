-- Lets the lease $2 of lock $1 live with the session $3 (started $4) for $5 ms: the one that it lived with is about to end.
update {ledger}._migration_locks
set backend_pid = $3, backend_start = $4, renewed_at = clock_timestamp(),
    expires_at = clock_timestamp() + $5::bigint * interval '1 millisecond'
where lock_name = $1 and token = $2

-- Gives the lease $2 of lock $1 to this session, after the one that it lived with broke.
update {ledger}._migration_locks
set backend_pid = pg_backend_pid(), renewed_at = clock_timestamp(),
    backend_start = (select backend_start from pg_stat_activity where pid = pg_backend_pid()),
    expires_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
where lock_name = $1 and token = $2
returning expires_at

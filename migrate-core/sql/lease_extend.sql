-- Renews the lease $1 that is in force for $2 ms, or for as long as it had before.
update {ledger}._migration_locks
set renewed_at = clock_timestamp(),
    expires_at = clock_timestamp() + coalesce($2::bigint * interval '1 millisecond', expires_at - renewed_at)
where token = $1 and expires_at > clock_timestamp()
returning lock_name, expires_at

-- Renews the lease $2 of lock $1 for $3 ms; never makes one.
update {ledger}._migration_locks
set renewed_at = clock_timestamp(), expires_at = clock_timestamp() + $3::bigint * interval '1 millisecond'
where lock_name = $1 and token = $2
returning expires_at

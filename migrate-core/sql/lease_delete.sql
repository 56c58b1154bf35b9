-- Ends the lease $2 of lock $1.
delete from {ledger}._migration_locks
where lock_name = $1 and token = $2
returning owner, host, pid, (extract(epoch from clock_timestamp() - acquired_at) * 1000)::bigint as held_ms

-- The lease $2 of lock $1 in a database that is about to take the place of the one that it was taken in: $3 owner, $4 host, $5 pid,
-- $6 the session that it lives with, $7 its start, $8 reason, $9 TTL in ms, $10 system, $11 timeline.
insert into {ledger}._migration_locks
    (lock_name, token, owner, host, pid, backend_pid, backend_start, reason, expires_at, system_identifier, timeline)
values ($1, $2, $3, $4, $5, $6, $7, $8, clock_timestamp() + $9::bigint * interval '1 millisecond', $10, $11)
returning expires_at

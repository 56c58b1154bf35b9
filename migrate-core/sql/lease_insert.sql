-- A new lease of lock $1: $2 owner, $3 host, $4 pid, $5 with a session, $6 reason, $7 TTL in ms, $8 system, $9 timeline.
insert into {ledger}._migration_locks
    (lock_name, token, owner, host, pid, backend_pid, backend_start, reason, expires_at, system_identifier, timeline)
select $1::text, nextval('{ledger:text}._migration_locks_token_seq'), $2::text, $3::text, $4::integer,
       case when $5::boolean then pg_backend_pid() end,
       case when $5::boolean then (select backend_start from pg_stat_activity where pid = pg_backend_pid()) end,
       $6::text, clock_timestamp() + $7::bigint * interval '1 millisecond', $8::text, $9::integer
returning token, acquired_at, expires_at

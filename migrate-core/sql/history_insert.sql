-- Records a run: $1 version, $2 name, $3 direction, $4 checksum, $5 status, $6 ms, $7 estimate, $8 risk, $9 run, $10 error.
insert into {ledger}._migration_history
    (version, name, direction, checksum, status, applied_at, finished_at, execution_ms, estimate_ms, risk, run_id, error)
values ($1, $2, $3, $4, $5::text, clock_timestamp() - coalesce($6::bigint, 0) * interval '1 millisecond',
        case when $5::text <> 'running' then clock_timestamp() end, $6, $7, $8, $9, $10)
returning id

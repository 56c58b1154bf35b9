-- Records a rollback in the transaction that did it: $1 version, $2 name, $3 checksum, $4 ms, $5 estimate, $6 risk, $7 run.
with undone as (
    update {ledger}._migration_history set status = 'rolled_back'
    where version = $1 and direction = 'up' and status in ('running', 'applied', 'failed')
)
insert into {ledger}._migration_history
    (version, name, direction, checksum, status, applied_at, finished_at, execution_ms, estimate_ms, risk, run_id)
values ($1, $2, 'down', $3, 'applied', clock_timestamp() - $4::bigint * interval '1 millisecond', clock_timestamp(),
        $4::bigint, $5, $6, $7)

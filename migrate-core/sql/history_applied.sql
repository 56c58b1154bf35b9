-- Records a migration and its way back, in the transaction that applied it: $1 version, $2 name, $3 checksum, $4 ms,
-- $5 estimate, $6 risk, $7 run; $8 file, $9 first line, $10 transactional, $11 SQL and $12 checksum of the way back.
with run as (
    insert into {ledger}._migration_history
        (version, name, direction, checksum, status, applied_at, finished_at, execution_ms, estimate_ms, risk, run_id)
    values ($1, $2, 'up', $3, 'applied', clock_timestamp() - $4::bigint * interval '1 millisecond', clock_timestamp(),
            $4::bigint, $5, $6, $7)
    returning id
)
insert into {ledger}._migration_scripts (history_id, file, first_line, transactional, down_sql, down_checksum)
select id, $8::text, $9::integer, $10::boolean, $11::text, $12::text from run where $11::text is not null

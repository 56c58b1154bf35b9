-- All rows of the history, to be compared with the log.
select id, version, direction, run_id, name, checksum, status, execution_ms, estimate_ms, applied_by,
       (extract(epoch from finished_at) * 1000000)::bigint as finished_at
from {ledger}._migration_history
order by id

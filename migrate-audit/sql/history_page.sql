-- The last $1 rows of the history, the newest first.
select id, version, name, direction, status, applied_at, finished_at, execution_ms, estimate_ms, risk, applied_by, run_id,
       checksum, error
from {ledger}._migration_history
order by id desc
limit $1

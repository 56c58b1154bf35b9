-- The runs up of all versions, oldest first; the caller keeps the last of each version, faster than a sort here.
select id, version, name, checksum, status, applied_at, execution_ms, applied_by, error, run_id, risk
from {ledger}._migration_history
where direction = 'up'
order by id

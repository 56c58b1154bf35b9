-- The last run up of each version, oldest first.
select id, version, name, checksum, status, applied_at, execution_ms, applied_by, error, run_id
from (
    select distinct on (version) id, version, name, checksum, status, applied_at, execution_ms, applied_by, error, run_id
    from {ledger}._migration_history
    where direction = 'up'
    order by version, id desc
) as last
order by id

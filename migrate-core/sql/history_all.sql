-- The runs up of all versions, oldest first; the caller keeps the last of each version, faster than a sort here.
select id, version, name, checksum, status, applied_at, execution_ms, applied_by, error, run_id, risk,
       status in ('running', 'failed') and exists (
           select from {ledger}._migration_progress as p where p.history_id = h.id
       ) as in_part
from {ledger}._migration_history as h
where direction = 'up'
order by id

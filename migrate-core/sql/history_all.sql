-- The runs up of all versions, oldest first; the caller keeps the last of each version, faster than a sort here.
select id, version, name, checksum, status, applied_at, execution_ms, applied_by, error, run_id, risk,
       status in ('running', 'failed') and exists (
           select from {ledger}._migration_progress as p where p.history_id = h.id
       ) as in_part,
       -- In a set that is made once: the history may be long.
       status = 'applied' and version in (
           select down.version
           from {ledger}._migration_history as down
           where down.direction = 'down' and down.status in ('running', 'failed')
             and exists (select from {ledger}._migration_progress as p where p.history_id = down.id)
             and not exists (
                 select from {ledger}._migration_history as later
                 where later.version = down.version and later.id > down.id
             )
       ) as rolled_back_in_part
from {ledger}._migration_history as h
where direction = 'up'
order by id

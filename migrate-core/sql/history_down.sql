-- Runs down that did not end: begun outside a transaction, or failed part way.
select id, version, name, checksum, status, applied_at, execution_ms, applied_by, error, run_id, risk,
       status in ('running', 'failed') and exists (
           select from {ledger}._migration_progress as p where p.history_id = h.id
       ) as in_part,
       false as rolled_back_in_part
from {ledger}._migration_history as h
where direction = 'down' and status in ('running', 'failed')
  and not exists (
      select from {ledger}._migration_history as later where later.version = h.version and later.id > h.id
  )
order by id

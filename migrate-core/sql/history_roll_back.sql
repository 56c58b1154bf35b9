-- Marks the run up of version $1 as undone.
update {ledger}._migration_history
set status = 'rolled_back'
where version = $1 and direction = 'up' and status in ('applied', 'running', 'failed')
returning id

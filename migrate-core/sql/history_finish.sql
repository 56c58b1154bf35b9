-- Ends the run $1 with status $2, $3 ms and error $4.
update {ledger}._migration_history
set status = $2, finished_at = clock_timestamp(), execution_ms = $3, error = $4
where id = $1 and status in ('running', 'failed', 'applied')

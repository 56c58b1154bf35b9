-- Takes up the unfinished run $1 again, in the run $2, by the file with name $3 and checksum $4.
update {ledger}._migration_history
set status = 'running', run_id = $2, name = $3, checksum = $4, error = null, finished_at = null
where id = $1 and status in ('running', 'failed')

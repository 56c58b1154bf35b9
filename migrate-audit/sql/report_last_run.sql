-- The run that began last.
select run_id from {ledger}._migration_audit_log where action = 'apply.started' order by id desc limit 1

-- The first and the last row of run $1: of a run that has not ended the last one that names it.
select (select min(id) from {ledger}._migration_audit_log where action = 'apply.started' and run_id = $1) as first,
       coalesce((select max(id) from {ledger}._migration_audit_log where action = 'apply.finished' and run_id = $1),
                (select max(id) from {ledger}._migration_audit_log where run_id = $1)) as last

-- Whether the end of run $1, an exchange of names, stands in the audit log.
select exists (
    select from {ledger}._migration_audit_log
    where run_id = $1::text and action in ('backup.restored', 'backup.swapped_back')
) as recorded

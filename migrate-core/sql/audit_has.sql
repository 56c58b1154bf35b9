-- Whether a row behind $1 is of run $2 and says $3.
select exists (
    select from {ledger}._migration_audit_log
    where id > $1 and run_id = $2::text and details = $3::text::jsonb
) as has

-- Whether row $1 still has the hash $2.
select exists (
    select from {ledger}._migration_audit_log where id = $1 and hash = decode($2, 'hex')
)

-- Another row than $1 with the same text as $2, in bytes.
select min(id) as id from {ledger}._migration_audit_log where id <> $1 and canonical = convert_from($2, 'UTF8')

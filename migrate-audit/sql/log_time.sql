-- The time of row $1, or of the first one after it.
select timestamp from {ledger}._migration_audit_log where id >= $1 order by id limit 1

-- Removes the rows up to $1, which the row that was just appended says to be in a file.
delete from {ledger}._migration_audit_log where id <= $1

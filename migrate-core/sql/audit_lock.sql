-- Lets one writer at a time append; a statement of its own, so that the next one sees the newest row.
lock table {ledger}._migration_audit_log in share row exclusive mode

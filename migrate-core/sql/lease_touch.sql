-- Waits for the row of lease $1; a statement of its own, since a time is computed before a wait.
select from {ledger}._migration_locks where token = $1 for no key update

-- Removes all leases of a database that comes out of the past: none of their owners works in it.
delete from {ledger}._migration_locks

-- The environment that this ledger was made under.
select details ->> 'environment' as environment from {ledger}._migration_audit_log where id = 1

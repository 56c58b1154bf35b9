-- The newest row of the chain.
select id, encode(hash, 'hex') as hash from {ledger}._migration_audit_log order by id desc limit 1

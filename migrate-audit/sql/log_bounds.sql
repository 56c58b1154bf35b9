-- The first and the last number in the log.
select (select id from {ledger}._migration_audit_log order by id limit 1) as first,
       (select id from {ledger}._migration_audit_log order by id desc limit 1) as last

-- What the ledger was made under and for: its first row says so, or the last archive that has taken that away.
(select details ->> 'environment' as environment, details ->> 'database' as database,
        details ->> 'system_identifier' as system_identifier
 from {ledger}._migration_audit_log
 where id = 1 and action = 'ledger.created')
union all
(select details ->> 'environment', details ->> 'database', details ->> 'system_identifier'
 from {ledger}._migration_audit_log
 where action = 'audit.archived'
 order by id desc
 limit 1)
limit 1

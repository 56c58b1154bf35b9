-- The down SQL of run $1, and what the audit log says of it.
select s.file, s.first_line, s.transactional, s.down_sql, s.down_checksum,
       audited.checksum as audited_checksum, audited.transaction as audited_transaction,
       exists (select from {ledger}._migration_audit_log where action = 'audit.archived') as archived
from {ledger}._migration_scripts as s
join {ledger}._migration_history as h on h.id = s.history_id
left join lateral (
    select a.details ->> 'down_checksum' as checksum, (a.details ->> 'down_transaction')::boolean as transaction
    from {ledger}._migration_audit_log as a
    where a.subject = h.version and a.action in ('migration.applied', 'migration.baselined', 'migration.resolved')
    order by a.id desc
    limit 1
) as audited on true
where s.history_id = $1

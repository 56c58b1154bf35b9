-- The down SQL of run $1, and its hash as the audit log has it.
select s.file, s.first_line, s.transactional, s.down_sql, s.down_checksum,
       (select a.details ->> 'down_checksum'
        from {ledger}._migration_audit_log as a
        where a.subject = h.version and a.action in ('migration.applied', 'migration.baselined', 'migration.resolved')
        order by a.id desc
        limit 1) as audited_checksum
from {ledger}._migration_scripts as s
join {ledger}._migration_history as h on h.id = s.history_id
where s.history_id = $1

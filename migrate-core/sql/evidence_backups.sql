-- Backups that were made and proven since $1, the newest first.
select id, timestamp, actor, action, details
from {ledger}._migration_audit_log
where action in ('backup.created', 'backup.verified', 'backup.damaged') and timestamp >= $1
order by id desc
limit 1000

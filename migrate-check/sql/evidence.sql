-- What the audit log knows of backups of this database, and of plan $1: the newest row first.
select timestamp, actor, action, details
from {ledger}._migration_audit_log
where action in ('backup.created', 'backup.verified', 'backup.damaged')
   or (action in ('plan.approved', 'rehearsal') and details ->> 'plan_hash' = $1)
order by id desc

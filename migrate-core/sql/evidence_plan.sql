-- What the audit log has about the plan $1: approvals and rehearsals, the newest first.
select id, timestamp, actor, action, details
from {ledger}._migration_audit_log
where action in ('plan.approved', 'rehearsal') and details ->> 'plan_hash' = $1
order by id desc
limit 1000

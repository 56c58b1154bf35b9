-- What the audit log has about a plan with one of the hashes $1: approvals and rehearsals, the newest first.
select id, timestamp, actor, action, details
from {ledger}._migration_audit_log
where action in ('plan.approved', 'rehearsal') and details ->> 'plan_hash' = any ($1::text[])
order by id desc
limit 1000

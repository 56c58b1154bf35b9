-- The rows of the audit log after row $1, at most $2, as they stand.
select id, timestamp, actor, action, subject, run_id, details::text as details, canonical, prev_hash, hash
from {ledger}._migration_audit_log
where id > $1
order by id
limit $2

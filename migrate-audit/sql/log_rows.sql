-- The rows of the log between $1 and $2, in the order of their numbers, for COPY in binary form.
select id, timestamp, actor, action, subject, run_id, details, canonical, prev_hash, hash
from {ledger}._migration_audit_log
where id > $1 and id < $2
order by id

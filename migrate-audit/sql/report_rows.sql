-- What a report tells of: rows $1 to $2 of the times $3 to $4, and what was said about plan $5 before; at most $6.
select id, timestamp, actor, action, subject, run_id, details, encode(hash, 'hex') as hash
from {ledger}._migration_audit_log
where (id between $1 and $2
       and ($3::timestamptz is null or timestamp >= $3) and ($4::timestamptz is null or timestamp < $4))
   or (action in ('plan.approved', 'rehearsal') and id < $1 and details ->> 'plan_hash' = $5)
   or (action in ('backup.created', 'backup.verified', 'backup.damaged') and id < $1 and $5::text is not null
       and timestamp > (select timestamp - interval '1 day' from {ledger}._migration_audit_log where id = $1))
order by id
limit $6

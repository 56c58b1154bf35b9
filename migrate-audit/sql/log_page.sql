-- Rows of the log after $1 and before $2, the newest first: of actor $3, with action $4 or one like $5, about $6, at most
-- $7; between the times $8 and $9.
select id, timestamp, actor, action, subject, run_id, details, encode(hash, 'hex') as hash
from {ledger}._migration_audit_log
where id > $1 and id < $2
  and ($3::text is null or actor = $3)
  and ($4::text is null or action = $4)
  and ($5::text is null or action like $5)
  and ($6::text is null or subject = $6)
  and ($8::timestamptz is null or timestamp >= $8)
  and ($9::timestamptz is null or timestamp < $9)
order by id desc
limit $7

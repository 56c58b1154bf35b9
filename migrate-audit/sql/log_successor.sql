-- The row that continues the hash $1; none or one, as long as the unique key is there.
select id, prev_hash, hash, convert_to(canonical, 'UTF8') as canonical
from {ledger}._migration_audit_log
where prev_hash = $1
order by id
limit 1

-- The plan that was begun last, and what it was to apply when it was begun first.
select details ->> 'plan_hash' as plan_hash, details -> 'versions' as versions
from {ledger}._migration_audit_log
where action = 'apply.started' and details ->> 'direction' = 'up'
  and details ->> 'plan_hash' = (
      select details ->> 'plan_hash' from {ledger}._migration_audit_log
      where action = 'apply.started'
      order by id desc
      limit 1
  )
order by id
limit 1

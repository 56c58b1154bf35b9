-- The last run, if it began and has not ended: it works now, or it was killed.
select run_id, timestamp, actor
from (
    select run_id, timestamp, actor, action
    from {ledger}._migration_audit_log
    where action in ('apply.started', 'apply.finished')
    order by id desc
    limit 1
) as last
where action = 'apply.started'

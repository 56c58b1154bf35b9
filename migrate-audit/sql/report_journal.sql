-- The statements of runs $1 that ran outside a transaction, as their journal has them.
select h.version, p.statement, p.command, p.rows, p.started_at, p.finished_at,
       (p.checkpoint ->> 'ranges')::bigint as ranges
from {ledger}._migration_progress as p
join {ledger}._migration_history as h on h.id = p.history_id
where h.run_id = any ($1)
order by p.started_at
limit 500

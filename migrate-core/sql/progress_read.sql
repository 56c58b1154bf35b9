-- The journal of run $1.
select statement, sha256, command, status, before, rows
from {ledger}._migration_progress
where history_id = $1
order by statement

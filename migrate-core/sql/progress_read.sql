-- The journal of run $1. An older ledger has no column `checkpoint` yet, which must not stop a reader.
select statement, sha256, command, status, before, rows, to_jsonb(p) -> 'checkpoint' as checkpoint
from {ledger}._migration_progress as p
where history_id = $1
order by statement

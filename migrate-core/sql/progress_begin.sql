-- Journals that statement $2 of run $1 begins: $3 hash, $4 command, $5 what the catalog said before.
insert into {ledger}._migration_progress (history_id, statement, sha256, command, status, before)
values ($1, $2, $3, $4, 'running', $5)
on conflict (history_id, statement) do update
set sha256 = excluded.sha256, command = excluded.command, status = 'running', started_at = clock_timestamp(),
    before = coalesce(_migration_progress.before, excluded.before), finished_at = null, rows = null

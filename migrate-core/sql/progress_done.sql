-- Journals that statement $2 of run $1 is done: $3 hash, $4 command, $5 rows.
insert into {ledger}._migration_progress (history_id, statement, sha256, command, status, rows, finished_at)
values ($1, $2, $3, $4, 'done', $5, clock_timestamp())
on conflict (history_id, statement) do update
set status = 'done', rows = excluded.rows, finished_at = clock_timestamp()

-- Journals how far batched statement $2 of run $1 has come: $3 hash, $4 command, $5 checkpoint.
insert into {ledger}._migration_progress (history_id, statement, sha256, command, status, checkpoint)
values ($1, $2, $3, $4, 'running', $5)
on conflict (history_id, statement) do update
set checkpoint = excluded.checkpoint

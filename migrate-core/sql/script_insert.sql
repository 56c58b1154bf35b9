-- Keeps the down SQL of run $1: $2 file, $3 first line, $4 transactional, $5 SQL, $6 checksum.
-- A run that is taken up again may come with a file that was mended below what has run.
insert into {ledger}._migration_scripts (history_id, file, first_line, transactional, down_sql, down_checksum)
values ($1, $2, $3, $4, $5, $6)
on conflict (history_id) do update
set file = excluded.file, first_line = excluded.first_line, transactional = excluded.transactional,
    down_sql = excluded.down_sql, down_checksum = excluded.down_checksum

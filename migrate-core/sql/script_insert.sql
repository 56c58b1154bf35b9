-- Keeps the down SQL of run $1: $2 file, $3 first line, $4 transactional, $5 SQL, $6 checksum.
insert into {ledger}._migration_scripts (history_id, file, first_line, transactional, down_sql, down_checksum)
values ($1, $2, $3, $4, $5, $6)
on conflict (history_id) do nothing

-- Size, transactions and reading of this database.
-- gauge migrate_database_size_bytes: Size of the database on disk.
-- counter migrate_transactions_total: Transactions by how they ended.
-- counter migrate_block_reads_total: Blocks that were asked for, by where they were found.
-- counter migrate_deadlocks_total: Deadlocks that the server had to resolve.
-- counter migrate_temporary_files_bytes_total: Bytes written to temporary files by queries that had too little memory.
-- counter migrate_checksum_failures_total: Pages with a wrong checksum; absent where the server has no checksums.
select m.name, m.labels, m.value
from pg_stat_database as s
cross join lateral (values
    ('migrate_database_size_bytes', '{}'::text[], pg_database_size(s.datid)::float8),
    ('migrate_transactions_total', '{outcome,committed}', s.xact_commit),
    ('migrate_transactions_total', '{outcome,rolled_back}', s.xact_rollback),
    ('migrate_block_reads_total', '{source,cache}', s.blks_hit),
    ('migrate_block_reads_total', '{source,disk}', s.blks_read),
    ('migrate_deadlocks_total', '{}', s.deadlocks),
    ('migrate_temporary_files_bytes_total', '{}', s.temp_bytes),
    ('migrate_checksum_failures_total', '{}', s.checksum_failures)
) as m (name, labels, value)
where s.datname = current_database() and (m.name <> 'migrate_checksum_failures_total' or m.value is not null)

-- How far the oldest rows are from the wraparound of transaction numbers, and what vacuum has before it.
-- gauge migrate_oldest_transaction_id_age: Transactions since the oldest one that this database has not frozen.
-- gauge migrate_oldest_multixact_id_age: Multixacts since the oldest one that this database has not frozen.
-- gauge migrate_dead_rows: Rows in this database's tables that wait to be vacuumed, by the statistics.
-- gauge migrate_live_rows: Rows in this database's tables, by the statistics.
-- gauge migrate_invalid_indexes: Indexes of this database that no query can use.
select 'migrate_oldest_transaction_id_age' as name, '{}'::text[] as labels, age(datfrozenxid)::float8 as value
from pg_database where datname = current_database()
union all
select 'migrate_oldest_multixact_id_age', '{}', mxid_age(datminmxid) from pg_database where datname = current_database()
union all
select 'migrate_dead_rows', '{}', coalesce(sum(n_dead_tup), 0) from pg_stat_user_tables
union all
select 'migrate_live_rows', '{}', coalesce(sum(n_live_tup), 0) from pg_stat_user_tables
union all
select 'migrate_invalid_indexes', '{}', count(*) from pg_index where not (indisvalid and indisready and indislive)

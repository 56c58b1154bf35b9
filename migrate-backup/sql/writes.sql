-- Rows written to tables that are not the ledger's, since the server last began to count.
select coalesce(sum(t.n_tup_ins + t.n_tup_upd + t.n_tup_del), 0)::bigint as rows,
       (select stats_reset from pg_stat_database where datname = current_database()) as since,
       (select oid from pg_database where datname = current_database()) as database
from pg_stat_user_tables as t
where t.relname !~ '^_migration_'

-- Where pg_stat_statements is, and since when the server counts.
select (select format('%I.pg_stat_statements', n.nspname) from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace
        where e.extname = 'pg_stat_statements') as statements,
       (select stats_reset from pg_stat_database where datname = current_database()) as counted_since,
       pg_postmaster_start_time() as started_at

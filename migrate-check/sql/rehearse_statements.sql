-- Where pg_stat_statements keeps what the application runs; no row where it isn't there.
select n.nspname::text as schema
from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'pg_stat_statements'

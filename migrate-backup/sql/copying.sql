-- Tables of this database that sessions of the application $1 copy now, and how many rows so far.
select n.nspname::text || '.' || c.relname::text as name, p.tuples_processed as rows
from pg_stat_progress_copy as p
join pg_stat_activity as a on a.pid = p.pid
join pg_class as c on c.oid = p.relid
join pg_namespace as n on n.oid = c.relnamespace
where a.application_name = $1::text and p.datname = current_database()

-- Dumps that are being made at this moment.
-- group: preflight
-- pass: no dump is being made
-- meaning: pg_dump holds a lock on every table until its end: a migration waits for it, and everybody behind the migration.
-- hint: wait until it has ended; migrate-backup and migrate-apply keep out of each other's way by themselves
select format('process %s', pid) as object, 1::bigint as count,
       format('%s of %s%s', application_name, quote_ident(usename),
              coalesce(' has run for ' || make_interval(secs => extract(epoch from clock_timestamp() - xact_start)::bigint), '')) as message
from pg_stat_activity
where datname = current_database() and application_name ~ '^(pg_dump|pg_dumpall|pg_restore)' and pid <> pg_backend_pid()
order by backend_start, pid

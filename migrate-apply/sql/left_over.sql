-- Whether a script has left what only cleanup_left_over.sql takes away: prepared statements or advisory locks.
select exists (select from pg_prepared_statements where from_sql and name !~ '^_migration_')
    or exists (
        select from pg_locks
        where pid = pg_backend_pid() and locktype = 'advisory' and not (objsubid = 2 and classid = 1835624306)
    ) as left_over

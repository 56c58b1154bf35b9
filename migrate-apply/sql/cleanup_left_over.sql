-- Takes away what left_over.sql has found. Our own advisory lock (class "migr") stays, and what we have prepared;
-- DISCARD ALL would take both.
do $$
declare
    left_over record;
begin
    for left_over in select name from pg_prepared_statements where from_sql and name !~ '^_migration_' loop
        execute format('deallocate %I', left_over.name);
    end loop;
    loop
        -- One that was taken several times is given back as often.
        select * into left_over from pg_locks
        where pid = pg_backend_pid() and locktype = 'advisory' and not (objsubid = 2 and classid = 1835624306)
        limit 1;
        exit when not found;
        perform case
            when left_over.objsubid = 2 and left_over.mode = 'ShareLock'
            then pg_advisory_unlock_shared(left_over.classid::integer, left_over.objid::integer)
            when left_over.objsubid = 2
            then pg_advisory_unlock(left_over.classid::integer, left_over.objid::integer)
            when left_over.mode = 'ShareLock'
            then pg_advisory_unlock_shared(left_over.classid::bigint << 32 | left_over.objid::bigint)
            else pg_advisory_unlock(left_over.classid::bigint << 32 | left_over.objid::bigint)
        end;
    end loop;
end
$$

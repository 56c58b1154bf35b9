-- Tables whose rows are damaged.
-- group: integrity
-- needs: version 140000
-- needs: extension amcheck
-- each: table
-- pass: tables with sound rows: {targets}
-- found: damaged places: {count}
-- meaning: A row's header or its out-of-line values contradict what the server wrote. It was damaged on disk, in
--   memory or by a bug, and may be unreadable, vanish or come back.
-- hint: stop writing, keep a copy of the data directory, and restore from a verified backup
with locked as materialized (
    -- To ask for the size of a table that somebody has locked would be to wait for them.
    select relation from pg_locks where mode = 'AccessExclusiveLock' and granted and relation is not null
)
select format('%I.%I', n.nspname, c.relname) as object, size.bytes,
       case when lacks.message is null
            then format('select count(*) from %I.verify_heapam(%s::oid::regclass)', amcheck.nspname, c.oid) end as sql,
       format('select jsonb_build_object(''block'', blkno, ''offset'', offnum, ''attribute'', attnum, ''problem'', msg) as keys '
              'from %I.verify_heapam(%s::oid::regclass) order by blkno, offnum, attnum', amcheck.nspname, c.oid) as rows_sql,
       null::text as setup, null::text as fix, lacks.message, lacks.reason
from pg_class as c
join pg_am as a on a.oid = c.relam
join pg_namespace as n on n.oid = c.relnamespace
join pg_extension as e on e.extname = 'amcheck'
join pg_namespace as amcheck on amcheck.oid = e.extnamespace
join pg_proc as verify on verify.pronamespace = amcheck.oid and verify.proname = 'verify_heapam'
cross join lateral (
    select case when c.oid in (select relation from locked) then 0 else pg_relation_size(c.oid) end as bytes
) as size
cross join lateral (
    select coalesce(nullif(current_setting('migrate.large', true), ''), '33554432')::bigint as large
) as deep
cross join lateral (
    select case when not has_function_privilege(verify.oid, 'execute') then 'this role may not run amcheck'
                when size.bytes > deep.large
                then 'larger than ' || pg_size_pretty(deep.large) || '; ask for it with --deep' end as message,
           case when not has_function_privilege(verify.oid, 'execute') then 'unknown' end as reason
) as lacks
where a.amname = 'heap' and c.relkind in ('r', 'm') and c.relpersistence = 'p'
  and n.nspname <> 'information_schema'
order by 1

-- Tables of which the server cannot read every page.
-- group: integrity
-- each: table
-- pass: tables that can be read from end to end: {targets}
-- found: unreadable: {count}
-- meaning: A page is damaged, or a file is gone. Queries that touch it fail, and so do dumps.
-- hint: stop writing, keep a copy of the data directory, and restore from a verified backup
with locked as materialized (
    -- To ask for the size of a table that somebody has locked would be to wait for them.
    select relation from pg_locks where mode = 'AccessExclusiveLock' and granted and relation is not null
)
select format('%I.%I', n.nspname, c.relname) as object, size.bytes,
       case when size.bytes <= deep.large
            then format('select 0 * count(*) as count from only %I.%I', n.nspname, c.relname) end as sql,
       null::text as rows_sql,
       -- An index could answer instead of the table.
       'set local enable_indexonlyscan = off; set local enable_indexscan = off; set local enable_bitmapscan = off' as setup,
       null::text as fix,
       case when size.bytes > deep.large
            then 'larger than ' || pg_size_pretty(deep.large) || '; ask for it with --deep' end as message
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
cross join lateral (
    select case when c.oid in (select relation from locked) then 0 else pg_relation_size(c.oid) end as bytes
) as size
cross join lateral (
    select coalesce(nullif(current_setting('migrate.large', true), ''), '33554432')::bigint as large
) as deep
where c.relkind in ('r', 'm') and c.relpersistence <> 't' and c.relispopulated
  and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
order by 1

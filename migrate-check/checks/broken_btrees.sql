-- B-tree indexes whose pages contradict each other.
-- group: integrity
-- needs: extension amcheck
-- each: index
-- pass: indexes that are well ordered: {targets}
-- found: contradictions: {count}
-- meaning: The order of an index is broken: queries that use it miss rows, and a unique index lets duplicates pass.
--   Causes are a changed collation, a broken disk or memory, or a function of the index that answers
--   otherwise than it used to. With --deep it is also looked whether each row of the table is in the index.
-- hint: rebuild it; when several are broken, or it happens again, look for the cause before that
with locked as materialized (
    -- To ask for the size of a table that somebody has locked would be to wait for them.
    select relation from pg_locks where mode = 'AccessExclusiveLock' and granted and relation is not null
)
select format('%I.%I', n.nspname, c.relname) as object, size.bytes,
       case when lacks.message is null
            then format('select 0::bigint as count from %I.bt_index_check(%s::oid::regclass, %s) as checked',
                        amcheck.nspname, c.oid, deep.wanted::text) end as sql,
       null::text as rows_sql, null::text as setup,
       format('reindex index concurrently %I.%I', n.nspname, c.relname) as fix,
       lacks.message, lacks.reason
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
join pg_am as a on a.oid = c.relam
join pg_namespace as n on n.oid = c.relnamespace
join pg_extension as e on e.extname = 'amcheck'
join pg_namespace as amcheck on amcheck.oid = e.extnamespace
cross join lateral (
    select case when c.oid in (select relation from locked) then 0 else pg_relation_size(c.oid) end as bytes
) as size
cross join lateral (
    select coalesce(nullif(current_setting('migrate.large', true), ''), '33554432')::bigint as large,
           coalesce(current_setting('migrate.deep', true), '') = 'on' as wanted
) as deep
cross join lateral (
    select case when not has_function_privilege(format('%I.bt_index_check(regclass, boolean)', amcheck.nspname), 'execute')
                then 'this role may not run amcheck'
                when size.bytes > deep.large
                then 'larger than ' || pg_size_pretty(deep.large) || '; ask for it with --deep' end as message,
           case when not has_function_privilege(format('%I.bt_index_check(regclass, boolean)', amcheck.nspname), 'execute')
                then 'unknown' end as reason
) as lacks
where a.amname = 'btree' and c.relkind = 'i' and i.indisvalid and i.indisready
  and c.relpersistence = 'p' and n.nspname !~ '^pg_temp|^pg_toast_temp'
order by 1

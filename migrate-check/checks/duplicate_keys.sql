-- Rows that a unique index should have kept apart.
-- group: integrity
-- each: unique index
-- pass: unique indexes whose tables have no key twice: {targets}
-- found: keys that several rows have: {count}
-- meaning: The index does not know all rows of its table, or knows them in a wrong order: a broken disk or memory,
--   a changed collation, a bug, or a promise that was made by writing to the catalog. The rows are read from
--   the table itself, not from the index. Lookups by this key find one row or another. Tables of more than 32 MB
--   are left out, as that takes longer than all else: ask for them with --deep.
-- hint: decide which rows to keep, remove the others, then rebuild the index
with locked as materialized (
    -- To ask for the size of a table that somebody has locked would be to wait for them.
    select relation from pg_locks where mode = 'AccessExclusiveLock' and granted and relation is not null
), indexes as (
    select i.indexrelid, i.indrelid, i.indisunique, i.indnkeyatts, i.indpred, i.indkey, i.indcollation,
           coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false) as nulls_equal,
           n.nspname, t.relname as table_name, c.relname, size.bytes,
           coalesce(nullif(current_setting('migrate.large', true), ''), '33554432')::bigint as large,
           -- Expressions call functions as us: only those of the system, a superuser's or our own.
           exists (select from pg_depend as d
                   join pg_proc as p on p.oid = d.refobjid
                   join pg_roles as r on r.oid = p.proowner
                   where d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
                     and d.refclassid = 'pg_proc'::regclass
                     and not r.rolsuper and r.rolname <> session_user) as foreign_code
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid
    join pg_namespace as n on n.oid = c.relnamespace
    join pg_class as t on t.oid = i.indrelid
    cross join lateral (
        select case when t.oid in (select relation from locked) then 0 else pg_relation_size(t.oid) end as bytes
    ) as size
    where i.indisunique and i.indisvalid and c.relkind = 'i' and t.relkind in ('r', 'm')
      and t.relpersistence <> 't' and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
), keys as (
    select x.*, key.list, key.names, key.filled
    from indexes as x
    cross join lateral (
        select string_agg(part.text, ', ' order by part.number) as list,
               string_agg(format('%L, format(''%%s'', k%s)', part.name, part.number), ', ' order by part.number) as names,
               string_agg(part.text || ' is not null', ' and ' order by part.number) as filled
        from (
            select number, coalesce(a.attname, pg_get_indexdef(x.indexrelid, number, false)) as name,
                   case when a.attname is null then '(' || pg_get_indexdef(x.indexrelid, number, false) || ')'
                        when l.oid is null then format('c.%I', a.attname)
                        else format('c.%I collate %I.%I', a.attname, ln.nspname, l.collname) end as text
            from generate_series(1, x.indnkeyatts) as number
            left join pg_attribute as a on a.attrelid = x.indrelid and a.attnum = x.indkey[number - 1] and a.attnum <> 0
            left join pg_collation as l on l.oid = x.indcollation[number - 1] and l.oid <> a.attcollation
            left join pg_namespace as ln on ln.oid = l.collnamespace
        ) as part
    ) as key
), queries as (
    select keys.*,
           format('from only %I.%I as c where %s%s group by %s having count(*) > 1', nspname, table_name,
                  case when nulls_equal then 'true' else filled end,
                  coalesce(' and (' || pg_get_expr(indpred, indrelid) || ')', ''),
                  (select string_agg(number::text, ', ') from generate_series(1, indnkeyatts) as number)) as grouped,
           (select string_agg('k' || number, ', ') from generate_series(1, indnkeyatts) as number) as labels
    from keys
)
select format('%I.%I', nspname, relname) as object, bytes,
       case when bytes > large or foreign_code then null
            else format('select count(*) from (select %s %s) as twice', list, grouped) end as sql,
       format('select jsonb_build_object(%s, ''rows'', times) as keys from (select %s, count(*) %s) as twice (%s, times) '
              'order by times desc, keys::text', names, list, grouped, labels) as rows_sql,
       'set local enable_indexscan = off; set local enable_indexonlyscan = off; set local enable_bitmapscan = off' as setup,
       format('-- after removing the surplus rows: reindex index concurrently %I.%I', nspname, relname) as fix,
       case when foreign_code then 'it calls functions that belong to others'
            when bytes > large then 'larger than ' || pg_size_pretty(large) || '; ask for it with --deep' end as message
from queries
order by 1

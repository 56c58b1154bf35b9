-- Tables without a primary key.
-- group: integrity
-- pass: every table has a primary key
-- meaning: Rows cannot be told apart, a duplicate cannot be removed, and logical replication refuses UPDATE and
--   DELETE. A unique index over NOT NULL columns does as well for most ends; such tables are only warned of.
-- hint: add one; on a large table build the unique index CONCURRENTLY first, then ADD PRIMARY KEY USING INDEX
-- fix: alter table TABLE add primary key (COLUMNS)
select format('%I.%I', n.nspname, c.relname) as object, 'warn' as status, 1::bigint as count,
       case when other.name is null then 'there is no primary key and no unique index over NOT NULL columns'
            else format('there is no primary key, but the unique index %I', other.name) end as message
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
left join lateral (
    select ic.relname as name
    from pg_index as i
    join pg_class as ic on ic.oid = i.indexrelid
    where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
      and not exists (select from pg_attribute as a
                      where a.attrelid = c.oid and a.attnum = any (i.indkey::smallint[]) and not a.attnotnull)
    order by 1 limit 1
) as other on true
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
  and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_toast'
  and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)
  -- What an extension keeps is its own affair.
  and not exists (select from pg_depend as d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by 1

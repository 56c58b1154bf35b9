-- Rows whose foreign key refers to no row.
-- group: integrity
-- each: foreign key
-- pass: foreign keys that hold for every row: {targets}
-- found: rows that refer to no row: {count}
-- meaning: The constraint says that this cannot be, and it is so all the same: rows were written while triggers were
--   disabled or session_replication_role was replica, the constraint is NOT VALID, or an index of the referenced
--   table is broken. Joins lose these rows, and a dump of them cannot be restored.
-- hint: look whether the referenced rows were lost or these should not be here; then bring back, change or delete
with keys as (
    select k.oid, k.conname, k.confmatchtype, k.conrelid, k.confrelid, pair.number,
           quote_ident(a.attname) as child,
           coalesce(to_jsonb(k) ->> 'conperiod', 'false') = 'true' as temporal,
           format('p.%I%s%s operator(%I.%s) c.%I%s',
                  b.attname,
                  case when left_type.typtype <> 'p' and b.atttypid <> o.oprleft
                       then '::' || format('%I.%I', left_space.nspname, left_type.typname) end,
                  case when b.attcollation <> 0 and a.attcollation <> 0 and a.attcollation <> b.attcollation
                       then ' collate ' || (select format('%I.%I', ln.nspname, l.collname) from pg_collation as l
                                            join pg_namespace as ln on ln.oid = l.collnamespace where l.oid = b.attcollation) end,
                  op_space.nspname, o.oprname,
                  a.attname,
                  case when right_type.typtype <> 'p' and a.atttypid <> o.oprright
                       then '::' || format('%I.%I', right_space.nspname, right_type.typname) end) as comparison
    from pg_constraint as k
    cross join lateral unnest(k.conkey, k.confkey, k.conpfeqop) with ordinality as pair (child, parent, operator, number)
    join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = pair.child
    join pg_attribute as b on b.attrelid = k.confrelid and b.attnum = pair.parent
    join pg_operator as o on o.oid = pair.operator
    join pg_namespace as op_space on op_space.oid = o.oprnamespace
    join pg_type as left_type on left_type.oid = o.oprleft
    join pg_namespace as left_space on left_space.oid = left_type.typnamespace
    join pg_type as right_type on right_type.oid = o.oprright
    join pg_namespace as right_space on right_space.oid = right_type.typnamespace
    -- A partition's own copy of a key is looked at with its parent.
    where k.contype = 'f' and k.conparentid = 0
      and coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'
), foreign_keys as (
    select oid, conname, confmatchtype, conrelid, confrelid, temporal, count(*) as columns,
           string_agg(format('c.%s is not null', child), ' and ' order by number) as filled,
           string_agg(format('c.%s is null', child), ' or ' order by number) as lacking,
           string_agg(format('c.%s is not null', child), ' or ' order by number) as begun,
           string_agg(comparison, ' and ' order by number) as same
    from keys group by 1, 2, 3, 4, 5, 6
), places as (
    select k.*, format('%I.%I', cn.nspname, c.relname) as child,
           case when c.relkind = 'p' then '' else 'only ' end || format('%I.%I', cn.nspname, c.relname) as child_table,
           case when p.relkind = 'p' then '' else 'only ' end || format('%I.%I', pn.nspname, p.relname) as parent_table,
           case when c.relkind <> 'p' then c.relpages::bigint * 8192
                else (select sum(part.relpages::bigint * 8192)::bigint from pg_partition_tree(c.oid) as tree
                      join pg_class as part on part.oid = tree.relid) end as bytes,
           c.relkind as child_kind, c.oid as child_oid
    from foreign_keys as k
    join pg_class as c on c.oid = k.conrelid
    join pg_namespace as cn on cn.oid = c.relnamespace
    join pg_class as p on p.oid = k.confrelid
    join pg_namespace as pn on pn.oid = p.relnamespace
    where c.relpersistence <> 't'
), conditions as (
    select places.*,
           -- Asked for by --sample; none of a partitioned table's parts is left out.
           coalesce(' tablesample system (' || nullif(current_setting('migrate.sample', true), '') || ') repeatable (1)', '') as sample,
           format('%s and not exists (select from %s as p where %s)', filled, parent_table, same) as orphan,
           format('(%s) and (%s)', begun, lacking) as half
    from places
)
select child || ' ' || quote_ident(conname) as object, bytes,
       case when temporal then null
            when confmatchtype = 'f' and columns > 1
            then format('select (select count(*) from %1$s as c%2$s where %3$s) + (select count(*) from %1$s as c%2$s where %4$s) as count',
                        child_table, sample, orphan, half)
            else format('select count(*) from %s as c%s where %s', child_table, sample, orphan) end as sql,
       format('select keys from (select %s as keys from %s as c%s where %s) as found order by keys::text',
              shown.keys, child_table, sample,
              case when confmatchtype = 'f' and columns > 1 then format('(%s) or (%s)', orphan, half) else orphan end) as rows_sql,
       null::text as setup, null::text as fix,
       case when temporal then 'a key with PERIOD is not looked at' end as message
from conditions
cross join lateral (
    -- The primary key, if there is one, and the columns that refer. Output functions, as a cast could be anybody's.
    select 'jsonb_build_object(' || string_agg(format('%L, case when c.%I is not null then format(''%%s'', c.%I) end',
                                                      a.attname, a.attname, a.attname), ', ' order by a.attnum) || ')' as keys
    from pg_attribute as a
    where a.attrelid = conditions.child_oid
      and (a.attnum = any ((select conkey from pg_constraint where oid = conditions.oid)::smallint[])
           or a.attnum = any ((select indkey from pg_index where indrelid = conditions.child_oid and indisprimary)::smallint[]))
) as shown
order by 1

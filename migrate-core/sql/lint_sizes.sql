-- How big and how busy the tables $1 are, each with its partitions; what is no table has no row.
select t.number, parts.rows, parts.bytes, parts.index_bytes, parts.partitions,
       parts.writes / greatest(1.0, extract(epoch from now() - coalesce(
           (select stats_reset from pg_stat_database where datname = current_database()),
           pg_postmaster_start_time())))::float8 as writes_per_second,
       (select count(*) from pg_constraint f where f.confrelid = c.oid and f.conrelid <> c.oid and f.conparentid = 0)
       + (select count(distinct r.ev_class) from pg_depend d join pg_rewrite r on r.oid = d.objid
          where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
            and d.refobjid = c.oid and r.ev_class <> c.oid) as dependants
from unnest($1::oid[]) with ordinality as t(oid, number)
join pg_class as c on c.oid = t.oid and c.relkind in ('r', 'p', 'm')
cross join lateral (
    select coalesce(sum(case when p.reltuples > 0 then p.reltuples else (pg_relation_size(p.oid) + 99) / 100 end), 0)::bigint as rows,
           coalesce(sum(pg_table_size(p.oid)), 0)::bigint as bytes,
           coalesce(sum(pg_indexes_size(p.oid)), 0)::bigint as index_bytes,
           count(*) filter (where p.oid <> c.oid) as partitions,
           coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::float8 as writes
    from (select c.oid as member union select relid from pg_partition_tree(c.oid) where c.relkind = 'p') as m
    join pg_class as p on p.oid = m.member
    left join pg_stat_user_tables as s on s.relid = p.oid
) as parts

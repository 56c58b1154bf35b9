-- Table $1 and its columns $2, in this order: whether ranges of them can be walked along a unique index.
with key as (
    select k.number::integer - 1 as at, k.name, a.attnum, a.attnotnull, a.attcollation,
           format_type(a.atttypid, a.atttypmod) as type, coalesce(nullif(y.typbasetype, 0), y.oid) as base
    from unnest($2::text[]) with ordinality as k (name, number)
    left join pg_attribute as a on a.attrelid = $1::bigint::oid and a.attname = k.name and a.attnum > 0
        and not a.attisdropped
    left join pg_type as y on y.oid = a.atttypid
)
select c.oid::regclass::text as name, c.relkind::text as kind, c.reltuples::bigint as rows,
       c.relkind = 'r' and exists (select from pg_inherits where inhparent = c.oid) as has_children,
       (select array_agg(coalesce(type, '') order by at) from key) as types,
       (select name from key where attnum is null order by at limit 1) as lacking,
       (select name from key where not attnotnull order by at limit 1) as nullable,
       (select type from key where base = 'money'::regtype or base::regtype::text like 'reg%' order by at limit 1) as unstable,
       exists (
           select from pg_index as i
           join pg_class as ic on ic.oid = i.indexrelid
           join pg_am as am on am.oid = ic.relam and am.amname = 'btree'
           where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
             and i.indnkeyatts = cardinality($2::text[])
             and not exists (
                 select from key
                 join pg_opclass as o on o.oid = i.indclass[key.at]
                 where key.attnum is distinct from i.indkey[key.at] or key.attcollation <> i.indcollation[key.at]
                    or not o.opcdefault or (i.indoption[key.at] & 1) <> (i.indoption[0] & 1)
             )
       ) as indexed
from pg_class as c
where c.oid = $1::bigint::oid

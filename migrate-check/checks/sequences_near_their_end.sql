-- Sequences that have few numbers left, of their own or of their column's type.
-- group: integrity
-- pass: every sequence has more than a quarter of its numbers left
-- meaning: When the last number is given out, each further INSERT fails. An integer column ends at 2147483647,
--   also where its sequence is a bigint. Warned of from 75 %, failed from 90 %.
-- hint: change the column, and what refers to it, to bigint before it comes to that
with sequences as (
    select s.oid, n.nspname, s.relname, q.seqstart, q.seqmin, q.seqmax, q.seqincrement,
           case when has_sequence_privilege(s.oid, 'usage') or has_sequence_privilege(s.oid, 'select')
                then coalesce(pg_sequence_last_value(s.oid), q.seqstart) end as last_value,
           used.name as column_name,
           case used.type when 'int2'::regtype then 32767 when 'int4'::regtype then 2147483647
                else 9223372036854775807 end as type_max
    from pg_sequence as q
    join pg_class as s on s.oid = q.seqrelid
    join pg_namespace as n on n.oid = s.relnamespace
    left join lateral (
        select a.atttypid as type, format('%I.%I.%I', tn.nspname, t.relname, a.attname) as name
        from pg_depend as d
        left join pg_attrdef as ad on d.classid = 'pg_attrdef'::regclass and ad.oid = d.objid
        join pg_class as t on t.oid = coalesce(ad.adrelid, d.refobjid)
        join pg_namespace as tn on tn.oid = t.relnamespace
        join pg_attribute as a on a.attrelid = t.oid and a.attnum = coalesce(ad.adnum, d.refobjsubid)
        where (d.classid = 'pg_attrdef'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = s.oid)
           or (d.classid = 'pg_class'::regclass and d.objid = s.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)
        order by case a.atttypid when 'int2'::regtype then 1 when 'int4'::regtype then 2 else 3 end, 2
        limit 1
    ) as used on true
    where not q.seqcycle and s.relpersistence <> 't' and n.nspname <> 'pg_catalog'
), parts as (
    select sequences.*,
           case when seqincrement > 0
                then (last_value::numeric - least(seqstart, seqmin)) / nullif(least(seqmax, type_max)::numeric - least(seqstart, seqmin), 0)
                else (greatest(seqstart, seqmax)::numeric - last_value)
                     / nullif(greatest(seqstart, seqmax)::numeric - greatest(seqmin, -type_max - 1), 0) end as part
    from sequences
)
select format('%I.%I', nspname, relname) as object,
       case when last_value is null then 'skip' when part >= 0.9 then 'fail' else 'warn' end as status,
       case when last_value is null then 'unknown' end as reason,
       case when last_value is null then 'unknown: this role may not read the sequence'
            else format('%s %% of its numbers are used: it is at %s of %s%s', trunc(part * 100),
                        last_value, case when seqincrement > 0 then least(seqmax, type_max) else greatest(seqmin, -type_max - 1) end,
                        case when column_name is not null and type_max < seqmax then ', the end of ' || column_name end) end as message,
       case when column_name is not null and type_max < 9223372036854775807
            then '-- in a migration of several steps: change ' || column_name || ' to bigint' end as fix
from parts
where part >= 0.75 or last_value is null
order by 1

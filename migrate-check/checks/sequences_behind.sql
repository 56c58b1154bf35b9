-- Sequences that will give out numbers that rows have already.
-- group: integrity
-- each: sequence
-- pass: sequences that are ahead of their columns: {targets}
-- found: rows with numbers that the sequence will give out: {count}
-- meaning: Rows were inserted with their numbers, by a restore, COPY or an import, and the sequence was not moved.
--   The next INSERT fails with a duplicate key, or, without a unique index, makes a second row of that number.
-- hint: move the sequence behind the greatest number
with pairs as (
    -- Serial and identity columns own their sequence; others use one in their default.
    select d.objid as sequence, d.refobjid as relation, d.refobjsubid as column_number
    from pg_depend as d
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
      and d.deptype in ('a', 'i')
    union
    select d.refobjid, ad.adrelid, ad.adnum
    from pg_attrdef as ad
    join pg_depend as d on d.classid = 'pg_attrdef'::regclass and d.objid = ad.oid and d.refclassid = 'pg_class'::regclass
), places as (
    select s.oid, s.relname as sequence_name, sn.nspname as sequence_schema, q.seqincrement,
           t.oid as table_oid, t.relkind, format('%I.%I', tn.nspname, t.relname) as table_name, a.attname,
           case when t.relkind = 'p' then '' else 'only ' end || format('%I.%I', tn.nspname, t.relname) as source,
           case when q.seqincrement > 0 then 'max' else 'min' end as last,
           case when q.seqincrement > 0 then '>=' else '<=' end as reaches
    from pairs as p
    join pg_class as s on s.oid = p.sequence and s.relkind = 'S'
    join pg_namespace as sn on sn.oid = s.relnamespace
    join pg_sequence as q on q.seqrelid = s.oid
    join pg_class as t on t.oid = p.relation and t.relkind in ('r', 'p')
    join pg_namespace as tn on tn.oid = t.relnamespace
    join pg_attribute as a on a.attrelid = t.oid and a.attnum = p.column_number
    where not q.seqcycle and s.relpersistence <> 't' and t.relpersistence <> 't'
      and a.atttypid in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
), queries as (
    select places.*,
           format('(select case when is_called then last_value::numeric + %s else last_value::numeric end from %I.%I)',
                  seqincrement, sequence_schema, sequence_name) as next
    from places
)
select table_name || '.' || quote_ident(attname) || ' ' || format('%I.%I', sequence_schema, sequence_name) as object,
       0::bigint as bytes,
       -- The greatest number comes from an index, if there is one; rows are counted only where there are some.
       format('select case when (select %1$s(c.%2$I) from %3$s as c) %4$s %5$s '
              'then (select count(*) from %3$s as c where c.%2$I %4$s %5$s) else 0 end as count',
              last, attname, source, reaches, next) as sql,
       format('select jsonb_build_object(%1$L, c.%2$I) as keys from %3$s as c where c.%2$I %4$s %5$s order by c.%2$I',
              attname, attname, source, reaches, next) as rows_sql,
       null::text as setup,
       format('select setval(%L, (select %s(%I) from %s))',
              format('%I.%I', sequence_schema, sequence_name), last, attname, table_name) as fix,
       null::text as message
from queries
order by 1

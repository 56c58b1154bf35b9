-- Transaction numbers that are used up faster than old rows are frozen.
-- group: integrity health preflight
-- pass: the oldest rows are far from the wraparound of transaction numbers
-- meaning: About 2 billion transactions after the oldest row that is not frozen, the server refuses to write.
--   Autovacuum freezes from autovacuum_freeze_max_age on; an age far beyond it means that it does not come through:
--   long transactions, prepared ones, replication slots or locks hold it up. Warned of from twice that age or
--   800 million, failed from 1.2 billion.
-- hint: end what holds vacuum up, then vacuum the oldest table by hand
with ages as (
    select d.datname, kind.name, kind.age, kind.autovacuum, oldest.name as oldest
    from pg_database as d
    cross join lateral (values
        ('transaction', age(d.datfrozenxid)::bigint, current_setting('autovacuum_freeze_max_age')::bigint),
        ('multixact', mxid_age(d.datminmxid)::bigint, current_setting('autovacuum_multixact_freeze_max_age')::bigint)
    ) as kind (name, age, autovacuum)
    left join lateral (
        select format('%I.%I', n.nspname, c.relname) as name
        from pg_class as c
        join pg_namespace as n on n.oid = c.relnamespace
        where c.relkind in ('r', 'm', 't') and d.datname = current_database()
        order by case kind.name when 'transaction' then age(c.relfrozenxid) else mxid_age(c.relminmxid) end desc, 1
        limit 1
    ) as oldest on true
)
select quote_ident(datname) as object, age as count,
       case when age >= 1200000000 then 'fail' else 'warn' end as status,
       format('the oldest %s number is %s million old, of about 2000%s', name, age / 1000000,
              '; the oldest table is ' || oldest) as message,
       'vacuum (freeze, verbose) ' || oldest as fix
from ages
where age >= least(2 * autovacuum, 800000000)
order by 1, name

-- Who stands in the way of session $1 ('holder'), and who waits for it ('victim'); whoever wants its lease, in schema $2, waits on purpose.
with waiting as materialized (
    select l.pid, l.relation, pg_blocking_pids(l.pid) as blockers,
           -- Only 14 and newer know since when.
           (to_jsonb(l) ->> 'waitstart')::timestamptz as since
    from pg_locks as l
    where not l.granted and l.pid is not null
), involved as (
    select 'holder' as part, b.pid, w.relation, w.since
    from waiting as w
    cross join lateral (select distinct unnest(w.blockers) as pid) as b
    where w.pid = $1
    union all
    select 'victim', w.pid, null, w.since
    from waiting as w
    where $1 = any (w.blockers)
      and not exists (
          select from pg_locks as l
          join pg_class as c on c.oid = l.relation
          join pg_namespace as n on n.oid = c.relnamespace
          where l.pid = w.pid and c.relname = '_migration_locks' and n.nspname = $2
      )
)
select i.part, i.pid, a.backend_start, a.usename::text as user, a.application_name as application, a.state,
       left(a.query, 1000) as query,
       (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as age_ms,
       (extract(epoch from clock_timestamp() - i.since) * 1000)::bigint as waited_ms,
       i.relation::regclass::text as relation
from involved as i
left join pg_stat_activity as a on a.pid = i.pid
where i.part = 'holder' or coalesce(a.backend_type, '') <> 'autovacuum worker'
order by i.since, i.pid

-- Sessions that work, wait or keep others waiting; process 0 is a prepared transaction. Another database counts only where it takes part in a wait.
with waiting as materialized (
    select l.pid, pg_blocking_pids(l.pid) as blockers,
           -- Only 14 and newer know since when.
           (to_jsonb(l) ->> 'waitstart')::timestamptz as since,
           case when l.relation is not null and l.database = (select oid from pg_database where datname = current_database())
                then l.mode || ' on ' || coalesce((select format('%I.%I', n.nspname, c.relname) from pg_class as c
                                                   join pg_namespace as n on n.oid = c.relnamespace where c.oid = l.relation), l.relation::text)
                when l.locktype = 'transactionid' then 'the end of transaction ' || l.transactionid::text
                else l.mode || ' on ' || l.locktype end as lock
    from pg_locks as l
    where not l.granted and l.pid is not null
), one as (
    select distinct on (pid) * from waiting order by pid, since
), blockers as (
    select distinct unnest(blockers) as pid from one
), shown as (
    select a.pid, a.usename::text as "user", a.datname::text as database, a.application_name as application,
           coalesce(host(a.client_addr) || coalesce(':' || nullif(a.client_port, -1), ''), '') as client, a.state,
           case when a.wait_event is not null then a.wait_event_type || ': ' || a.wait_event end as wait,
           (extract(epoch from clock_timestamp() - case when a.state = 'active' then a.query_start else a.state_change end) * 1000)::bigint as age_ms,
           (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as transaction_age_ms,
           a.query, a.backend_type
    from pg_stat_activity as a
    where a.pid <> pg_backend_pid()
      and (a.pid in (select pid from one) or a.pid in (select pid from blockers)
           or (a.datname = current_database() and coalesce(a.backend_type, 'client backend') = 'client backend' and coalesce(a.state, 'unknown') <> 'idle')
           or (a.datname = current_database() and a.backend_type = 'autovacuum worker'))
    union all
    select 0, string_agg(distinct owner, ', '), max(database), null, '', 'prepared', null,
           (extract(epoch from clock_timestamp() - min(prepared)) * 1000)::bigint,
           (extract(epoch from clock_timestamp() - min(prepared)) * 1000)::bigint,
           'PREPARE TRANSACTION ' || string_agg(quote_literal(gid), ', ' order by gid), null
    from pg_prepared_xacts
    where 0 in (select pid from blockers)
    having count(*) > 0
)
select s.*, coalesce(w.blockers, '{}') as blocked_by, w.lock,
       (extract(epoch from clock_timestamp() - w.since) * 1000)::bigint as waited_ms
from shown as s
left join one as w on w.pid = s.pid
order by s.transaction_age_ms desc nulls last, s.age_ms desc nulls last, s.pid

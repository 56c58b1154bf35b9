-- Sessions that wait for somebody else's lock.
-- group: health
-- pass: nobody has to wait for a lock for longer than a second
-- meaning: Somebody holds a lock for long, and others queue behind it. Warned of from 1 second, failed from 30 seconds
--   (the setting migrate.wait_limit of the database). PostgreSQL 13 and older don't tell since when: only warned of.
-- hint: look who holds it with migrate-check activity, and end that
with waiting as (
    select l.pid, min((to_jsonb(l) ->> 'waitstart')::timestamptz) as since
    from pg_locks as l
    where not l.granted and l.pid is not null and (l.database is null or l.database = (select oid from pg_database where datname = current_database()))
    group by l.pid
)
select format('process %s', pid) as object, 1::bigint as count,
       case when clock_timestamp() - since >= make_interval(secs => coalesce(nullif(current_setting('migrate.wait_limit', true), ''), '30')::bigint) then 'fail' else 'warn' end as status,
       format('it has waited %sfor %s', coalesce(extract(epoch from clock_timestamp() - since)::integer || ' s ', ''),
              (select string_agg(case when by = 0 then 'a prepared transaction' else 'process ' || by end, ', ' order by by)
               from unnest(pg_blocking_pids(pid)) as by)) as message
from waiting
where since is null or clock_timestamp() - since >= interval '1 second'
order by since, pid

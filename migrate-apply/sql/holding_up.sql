-- Who would hold up a CONCURRENTLY statement on tables or indexes $1: old snapshots (if $2), and old locks on them ($3: readers' too).
with named as (
    select to_regclass(it)::oid as relation from unnest($1::text[]) as it
), tables as (
    select relation from named
    union
    select i.indrelid from named as n join pg_index as i on i.indexrelid = n.relation
)
select a.pid, a.backend_start, a.usename::text as user, a.application_name as application, a.state,
       left(a.query, 1000) as query, a.xact_start,
       (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as age_ms
from pg_stat_activity as a
where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
  -- What is over in a moment needs no words.
  and a.xact_start < clock_timestamp() - interval '1 second'
  and ($2::boolean and a.backend_xmin is not null
       or exists (
           select from pg_locks as l
           join tables as t on t.relation = l.relation
           where l.pid = a.pid and l.granted
             and ($3::boolean or l.mode not in ('AccessShareLock', 'RowShareLock', 'ShareLock'))
       ))
order by a.xact_start

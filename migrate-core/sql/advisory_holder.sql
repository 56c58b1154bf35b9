-- The session that holds the advisory lock ($1, $2) of this database.
select l.pid, a.usename::text as user, a.application_name as application, a.backend_start, a.state, left(a.query, 200) as query,
       (extract(epoch from clock_timestamp() - a.xact_start) * 1000)::bigint as age_ms
from pg_locks as l
left join pg_stat_activity as a on a.pid = l.pid
where l.locktype = 'advisory' and l.granted and l.objsubid = 2
  and l.database = (select oid from pg_database where datname = current_database())
  and l.classid::bigint = $1::integer::bigint & 4294967295 and l.objid::bigint = $2::integer::bigint & 4294967295
limit 1

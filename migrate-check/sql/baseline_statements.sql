-- How often statements of this database ran and how long they took; {statements} is the view of pg_stat_statements.
select s.queryid::text as id, min(left(s.query, 2000)) as query, sum(s.calls)::bigint as calls,
       sum(coalesce((to_jsonb(s) ->> 'total_exec_time')::float8, (to_jsonb(s) ->> 'total_time')::float8))::float8 as total_ms
from {statements} as s
where s.dbid = (select oid from pg_database where datname = current_database()) and s.queryid is not null
group by s.queryid
order by s.queryid

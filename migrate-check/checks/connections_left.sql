-- How many connections are left for clients.
-- group: health preflight
-- pass: at least a fifth of the connections is free
-- meaning: When all are used, nobody who is not a superuser gets in, and a tool that loses its connection cannot come
--   back. Warned of from 80 %, failed from 95 %.
-- hint: close idle ones, put a pooler in front of the applications, or raise max_connections at the next restart
with server as (
    select (select count(*) from pg_stat_activity where (backend_type in ('client backend', 'walsender') or (backend_type is null and datid is not null)) and pid <> pg_backend_pid()) as used,
           current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
           - coalesce(current_setting('reserved_connections', true), '0')::bigint as most
)
select 'server' as object, used as count, case when used >= most * 0.95 then 'fail' else 'warn' end as status,
       format('%s of %s connections are used', used, most) as message
from server
where used >= most * 0.8
union all
select 'database ' || quote_ident(datname), used, case when used >= datconnlimit * 0.95 then 'fail' else 'warn' end,
       format('%s of %s connections of the database are used', used, datconnlimit)
from pg_database
cross join lateral (select count(*) as used from pg_stat_activity as a where a.datid = pg_database.oid and a.pid <> pg_backend_pid()
                    and coalesce(a.backend_type, 'client backend') = 'client backend') as here
where datname = current_database() and datconnlimit > 0 and used >= datconnlimit * 0.8
order by 1 desc

-- What this role may do, and what stands in the way of another database under the name of this one.
select me.rolsuper as superuser, me.rolsuper or me.rolcreatedb as may_create,
       d.oid, pg_has_role(session_user, d.datdba, 'usage') as owns,
       array(select gid::text from pg_prepared_xacts where database = d.datname order by 1) as prepared,
       array(select format('process %s of "%s"', a.pid, a.usename)
             from pg_stat_activity as a
             join pg_roles as r on r.oid = a.usesysid and r.rolsuper
             where a.datid = d.oid and not me.rolsuper and a.backend_type = 'client backend'
             order by 1) as superusers
from pg_database as d, (select * from pg_roles where rolname = session_user) as me
where d.datname = $1::text

-- The databases of this server, with what we may have noted of them.
select d.oid, d.datname::text as name, shobj_description(d.oid, 'pg_database') as comment,
       case when has_database_privilege(d.oid, 'connect') then pg_database_size(d.oid) end as bytes
from pg_database as d
where not d.datistemplate
order by d.datname

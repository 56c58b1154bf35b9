-- The databases of this server, with what we may have noted of them.
select d.oid, d.datname::text as name, shobj_description(d.oid, 'pg_database') as comment
from pg_database as d
where not d.datistemplate
order by d.datname

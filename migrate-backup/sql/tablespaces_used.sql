-- Tablespaces, apart from the default one, in which something of this database is.
select distinct t.spcname::text as name
from pg_tablespace as t
where t.spcname <> all (array['pg_default', 'pg_global'])
  and (exists (select from pg_class where reltablespace = t.oid)
       or exists (select from pg_database where datname = current_database() and dattablespace = t.oid))
order by 1

-- Versions of the collations that objects of this database are made with.
select distinct format('%I.%I', n.nspname, c.collname) as name, c.collversion as version
from pg_collation as c
join pg_namespace as n on n.oid = c.collnamespace
where c.collversion is not null
  and exists (select from pg_depend where refclassid = 'pg_collation'::regclass and refobjid = c.oid)
order by 1

-- Comments on whatever somebody made.
select 'comment' as kind, i.type || ' ' || i.identity as name,
       jsonb_build_object('of', i.identity, 'text', c.description) as definition
from pg_description as c
cross join lateral pg_identify_object(c.classoid, c.objoid, c.objsubid) as i
where (c.objoid >= 16384
       or c.classoid = 'pg_namespace'::regclass and c.objoid = (select oid from pg_namespace where nspname = 'public'))
  and c.classoid <> 'pg_extension'::regclass
  and (c.classoid, c.objoid) not in (select classid, objid from pg_depend
      where refclassid = 'pg_extension'::regclass and deptype = 'e')
  and i.identity !~ '(^|[. "])(_migration_|pg_temp_)'

-- Extended statistics.
select 'statistics' as kind, format('%I.%I', n.nspname, s.stxname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', m.nspname, c.relname),
           'owner', pg_get_userbyid(s.stxowner),
           'definition', pg_get_statisticsobjdef(s.oid),
           'target', nullif((to_jsonb(s) ->> 'stxstattarget')::integer, -1)
       )) as definition
from pg_statistic_ext as s
join pg_namespace as n on n.oid = s.stxnamespace
join pg_class as c on c.oid = s.stxrelid
join pg_namespace as m on m.oid = c.relnamespace
where s.oid >= 16384 and c.relname !~ '^_migration_'
  and s.oid not in (select objid from pg_depend
      where classid = 'pg_statistic_ext'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

-- Triggers that somebody made, and whether they fire.
select 'trigger' as kind, format('%I on %I.%I', g.tgname, n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', n.nspname, c.relname),
           'definition', pg_get_triggerdef(g.oid),
           'fires', case g.tgenabled when 'D' then 'never: disabled' when 'R' then 'on replicas' when 'A' then 'always' end
       )) as definition
from pg_trigger as g
join pg_class as c on c.oid = g.tgrelid
join pg_namespace as n on n.oid = c.relnamespace
where not g.tgisinternal and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

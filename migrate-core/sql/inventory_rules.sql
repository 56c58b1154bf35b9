-- Rules, but for those that make a view a view.
select 'rule' as kind, format('%I on %I.%I', r.rulename, n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', n.nspname, c.relname),
           'definition', pg_get_ruledef(r.oid),
           'acts', case r.ev_enabled when 'D' then 'never: disabled' when 'R' then 'on replicas' when 'A' then 'always' end
       )) as definition
from pg_rewrite as r
join pg_class as c on c.oid = r.ev_class
join pg_namespace as n on n.oid = c.relnamespace
where r.rulename <> '_RETURN' and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

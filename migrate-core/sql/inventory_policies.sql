-- Row security policies.
select 'policy' as kind, format('%I on %I.%I', p.polname, n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', n.nspname, c.relname),
           'command', case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
                                    when 'd' then 'delete' else 'all' end,
           'restrictive', nullif(not p.polpermissive, false),
           'roles', (select jsonb_agg(case when r = 0 then 'public' else pg_get_userbyid(r) end
                                      order by pg_get_userbyid(r) collate "C") from unnest(p.polroles) as r),
           'using', pg_get_expr(p.polqual, p.polrelid),
           'check', pg_get_expr(p.polwithcheck, p.polrelid)
       )) as definition
from pg_policy as p
join pg_class as c on c.oid = p.polrelid
join pg_namespace as n on n.oid = c.relnamespace
where c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

-- Casts.
select 'cast' as kind, format('(%s as %s)', format_type(c.castsource, null), format_type(c.casttarget, null)) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'function', case when c.castfunc <> 0 then c.castfunc::regprocedure::text end,
           'context', case c.castcontext when 'e' then 'explicit' when 'a' then 'assignment' else 'implicit' end,
           'method', case c.castmethod when 'f' then 'function' when 'i' then 'inout' else 'binary' end
       )) as definition
from pg_cast as c
where c.oid >= 16384
  and not exists (select from pg_depend d
                  where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype in ('e', 'i'))

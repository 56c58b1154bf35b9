-- Functions, procedures and aggregates.
select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end as kind,
       p.oid::regprocedure::text as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(p.proowner),
           'definition', case when p.prokind <> 'a' then pg_get_functiondef(p.oid) end,
           'arguments', case when p.prokind = 'a' then pg_get_function_arguments(p.oid) end,
           'returns', case when p.prokind = 'a' then pg_get_function_result(p.oid) end,
           'parallel', case when p.prokind = 'a' then p.proparallel end,
           'aggregate', (
               select jsonb_strip_nulls(to_jsonb(a) - array['aggfnoid', 'aggtranstype', 'aggmtranstype', 'aggsortop'])
                      || jsonb_strip_nulls(jsonb_build_object(
                          'state', format_type(a.aggtranstype, null),
                          'moving_state', case when a.aggmtranstype <> 0 then format_type(a.aggmtranstype, null) end,
                          'sort_operator', case when a.aggsortop <> 0 then a.aggsortop::regoperator::text end))
               from pg_aggregate a where a.aggfnoid = p.oid)
       )) as definition
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where p.oid >= 16384 and n.nspname !~ '^pg_temp_' and p.proname !~ '^_migration_'
  -- Made by the server for a range type.
  and not exists (select from pg_depend d
                  where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))

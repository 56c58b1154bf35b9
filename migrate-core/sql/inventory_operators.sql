-- Operators, and how the planner takes them.
select 'operator' as kind, o.oid::regoperator::text as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(o.oprowner),
           'function', o.oprcode::text,
           'result', format_type(o.oprresult, null),
           'commutator', case when o.oprcom <> 0 then o.oprcom::regoperator::text end,
           'negator', case when o.oprnegate <> 0 then o.oprnegate::regoperator::text end,
           'restrict', case when o.oprrest <> 0 then o.oprrest::text end,
           'join', case when o.oprjoin <> 0 then o.oprjoin::text end,
           'hashes', nullif(o.oprcanhash, false), 'merges', nullif(o.oprcanmerge, false)
       )) as definition
from pg_operator as o
where o.oid >= 16384
  and o.oid not in (select objid from pg_depend
      where classid = 'pg_operator'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

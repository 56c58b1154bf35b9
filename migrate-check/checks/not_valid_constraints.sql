-- Constraints that were added as NOT VALID and never validated.
-- group: integrity preflight
-- pass: every constraint is validated
-- meaning: New rows are checked, but the rows that were there before may break the rule, and the planner
--   may not rely on it. It is what is left when the second step of a safe ADD CONSTRAINT was forgotten.
-- hint: look for rows that break it, mend them, then validate it; that blocks no writes
-- fix: alter table TABLE validate constraint NAME
select format('%I.%I', n.nspname, c.relname) || ' ' || quote_ident(k.conname) as object, 1::bigint as count,
       case k.contype when 'f' then 'foreign key' when 'c' then 'check constraint' else 'constraint' end
           || ' is not validated' as message,
       format('alter table %I.%I validate constraint %I', n.nspname, c.relname, k.conname) as fix
from pg_constraint as k
join pg_class as c on c.oid = k.conrelid
join pg_namespace as n on n.oid = c.relnamespace
where not k.convalidated and k.conparentid = 0
  and n.nspname not in ('pg_catalog', 'information_schema')
  -- 18 has constraints that are not enforced, on purpose.
  and coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true'
order by 1

-- Constraints of tables, with the index under a key. Those that a partition has from a foreign key above it are left out.
select 'constraint' as kind, format('%I on %I.%I', o.conname, n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', n.nspname, c.relname),
           'definition', pg_get_constraintdef(o.oid),
           'enforced', case when o.contype = 'f' and exists (
               select from pg_trigger g where g.tgconstraint = o.oid and g.tgenabled = 'D')
               then 'its triggers are disabled' end,
           'valid', case when not x.indisvalid then false end,
           'clustered', nullif(x.indisclustered, false),
           'tablespace', (select s.spcname from pg_tablespace s where s.oid = k.reltablespace)
       )) as definition
from pg_constraint as o
join pg_class as c on c.oid = o.conrelid
join pg_namespace as n on n.oid = c.relnamespace
left join pg_index as x on x.indexrelid = o.conindid and o.contype in ('p', 'u', 'x')
left join pg_class as k on k.oid = x.indexrelid
where o.contype in ('c', 'f', 'p', 'u', 'x') and (o.contype <> 'f' or o.conparentid = 0)
  and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

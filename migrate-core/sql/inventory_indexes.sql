-- Indexes that are under no constraint.
select 'index' as kind, format('%I.%I', n.nspname, k.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', n.nspname, c.relname),
           'definition', pg_get_indexdef(x.indexrelid),
           'valid', case when not (x.indisvalid and x.indislive and x.indisready) then false end,
           'clustered', nullif(x.indisclustered, false),
           'attached_to', (select i.inhparent::regclass::text from pg_inherits i where i.inhrelid = x.indexrelid),
           'tablespace', (select s.spcname from pg_tablespace s where s.oid = k.reltablespace),
           'statistics_targets', (select jsonb_object_agg(a.attnum, a.attstattarget) from pg_attribute a
                                  where a.attrelid = x.indexrelid and a.attstattarget >= 0 and x.indexprs is not null)
       )) as definition
from pg_index as x
join pg_class as k on k.oid = x.indexrelid
join pg_class as c on c.oid = x.indrelid
join pg_namespace as n on n.oid = k.relnamespace
where k.oid >= 16384 and c.relkind in ('r', 'p', 'm') and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and not exists (select from pg_constraint o where o.conindid = x.indexrelid and o.contype in ('p', 'u', 'x'))
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

-- Sequences that a dump carries, which way they count, and whether this role may read them.
select n.nspname::text as schema, c.relname::text as name, q.seqincrement > 0 as rises, q.seqcycle as cycles,
       has_schema_privilege(n.oid, 'usage') and has_sequence_privilege(c.oid, 'select') as readable
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_sequence as q on q.seqrelid = c.oid
left join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.objsubid = 0
                        and d.refclassid = 'pg_extension'::regclass and d.deptype = 'e'
left join pg_extension as e on e.oid = d.refobjid
where c.relkind = 'S' and c.relpersistence <> 't'
  and n.nspname <> all (array['pg_catalog', 'information_schema', 'pg_toast'])
  and (e.oid is null or c.oid = any (e.extconfig))
order by n.nspname collate "C", c.relname collate "C"

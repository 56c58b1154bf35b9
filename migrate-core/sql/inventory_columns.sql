-- Columns of tables, and those of views that have something of their own. Their place is the one among living columns.
select 'column' as kind, format('%I.%I.%I', n.nspname, c.relname, a.attname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'table', format('%I.%I', n.nspname, c.relname),
           -- A child's columns are in another order after a restore.
           'position', case when not c.relhassubclass and not i.inherits
                            then row_number() over (partition by c.oid order by a.attnum) end,
           'type', format_type(a.atttypid, a.atttypmod),
           'collation', (select format('%I.%I', m.nspname, l.collname)
                         from pg_collation l join pg_namespace m on m.oid = l.collnamespace
                         where l.oid = a.attcollation and a.attcollation <> t.typcollation),
           'not_null', nullif(a.attnotnull, false),
           case when a.attgenerated = '' then 'default' else 'generated' end, pg_get_expr(d.adbin, d.adrelid),
           'identity', case a.attidentity when 'a' then 'always' when 'd' then 'by default' end,
           'identity_sequence', case when a.attidentity <> '' then (
               select jsonb_build_object('name', w.objid::regclass::text, 'start', s.seqstart, 'increment', s.seqincrement,
                                         'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle)
               from pg_depend w join pg_sequence s on s.seqrelid = w.objid
               where w.classid = 'pg_class'::regclass and w.refclassid = 'pg_class'::regclass
                 and w.refobjid = c.oid and w.refobjsubid = a.attnum and w.deptype = 'i') end,
           'statistics_target', nullif(a.attstattarget, -1),
           'storage', case when a.attstorage <> t.typstorage then
               case a.attstorage when 'p' then 'plain' when 'e' then 'external' when 'm' then 'main' else 'extended' end
           end,
           'compression', case a.attcompression when 'p' then 'pglz' when 'l' then 'lz4' end, -- since 14
           'options', a.attoptions,
           'foreign_options', a.attfdwoptions
       )) as definition
from pg_attribute as a
join pg_class as c on c.oid = a.attrelid
join pg_namespace as n on n.oid = c.relnamespace
join pg_type as t on t.oid = a.atttypid
left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
cross join lateral (select not c.relispartition
                           and exists (select from pg_inherits where inhrelid = c.oid) as inherits) as i
where a.attnum > 0 and not a.attisdropped and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and (c.relkind in ('r', 'p', 'f')
       or c.relkind in ('v', 'm') and (a.atthasdef or nullif(a.attstattarget, -1) is not null))
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

-- Sequences by their parameters, not by how far they have come; those of identity columns are told with the column.
select 'sequence' as kind, format('%I.%I', n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.relowner),
           'unlogged', nullif(c.relpersistence = 'u', false),
           'type', format_type(s.seqtypid, null),
           'start', s.seqstart, 'increment', s.seqincrement, 'min', s.seqmin, 'max', s.seqmax,
           'cache', s.seqcache, 'cycle', s.seqcycle,
           'owned_by', (select format('%s.%I', d.refobjid::regclass, a.attname)
                        from pg_depend d join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
                        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'a'
                          and d.refclassid = 'pg_class'::regclass)
       )) as definition
from pg_sequence as s
join pg_class as c on c.oid = s.seqrelid
join pg_namespace as n on n.oid = c.relnamespace
where c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and not exists (select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('e', 'i'))

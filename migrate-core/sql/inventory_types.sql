-- Types that stand by themselves: enums with their labels in order, domains, composite, range and base types.
select case t.typtype when 'e' then 'enum' when 'd' then 'domain' when 'c' then 'composite type'
                      when 'r' then 'range type' else 'type' end as kind,
       format('%I.%I', n.nspname, t.typname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(t.typowner),
           'labels', (select jsonb_agg(e.enumlabel order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid),
           'base', case when t.typtype = 'd' then format_type(t.typbasetype, t.typtypmod) end,
           'collation', case when t.typtype = 'd' then (
               select format('%I.%I', m.nspname, l.collname)
               from pg_collation l join pg_namespace m on m.oid = l.collnamespace join pg_type b on b.oid = t.typbasetype
               where l.oid = t.typcollation and t.typcollation <> b.typcollation) end,
           'not_null', nullif(t.typnotnull, false),
           'default', t.typdefault,
           'constraints', (select jsonb_object_agg(o.conname, pg_get_constraintdef(o.oid))
                           from pg_constraint o where o.contypid = t.oid and o.contype = 'c'),
           'columns', case when t.typtype = 'c' then (
               select jsonb_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
                                || case when a.attcollation <> b.typcollation -- since 13
                                        then ' collate ' || a.attcollation::regcollation else '' end -- since 13
                                order by a.attnum)
               from pg_attribute a join pg_type b on b.oid = a.atttypid
               where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped) end,
           'range', (select jsonb_strip_nulls(jsonb_build_object(
                         'subtype', format_type(r.rngsubtype, null),
                         'operator_class', (select c.opcname from pg_opclass c where c.oid = r.rngsubopc),
                         'collation', (select l.collname from pg_collation l where l.oid = r.rngcollation),
                         'multirange', format_type(r.rngmultitypid, null), -- since 14
                         'canonical', case when r.rngcanonical <> 0 then r.rngcanonical::text end,
                         'difference', case when r.rngsubdiff <> 0 then r.rngsubdiff::text end))
                     from pg_range r where r.rngtypid = t.oid),
           'functions', case when t.typtype = 'b' then
               concat_ws(', ', t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout,
                         t.typanalyze) end,
           'layout', case when t.typtype = 'b' then
               concat_ws(', ', t.typlen, t.typalign, t.typstorage, t.typbyval, t.typcategory, t.typispreferred,
                         t.typdelim) end,
           'defined', case when not t.typisdefined then false end
       )) as definition
from pg_type as t
join pg_namespace as n on n.oid = t.typnamespace
where t.oid >= 16384 and n.nspname !~ '^pg_temp_' and t.typname !~ '^_migration_'
  and t.typtype in ('e', 'd', 'c', 'r', 'b', 'p')
  and (t.typrelid = 0 or exists (select from pg_class c where c.oid = t.typrelid and c.relkind = 'c'))
  and not exists (select from pg_type e where e.typarray = t.oid)
  and t.oid not in (select objid from pg_depend
      where classid = 'pg_type'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

-- Operator families, with the operators and functions of their classes.
select 'operator family' as kind, format('%I.%I using %I', n.nspname, f.opfname, m.amname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(f.opfowner),
           'operators', (select jsonb_agg(format('%s %s', o.amopstrategy, o.amopopr::regoperator)
                                          order by o.amopstrategy, o.amopopr::regoperator::text collate "C")
                         from pg_amop o where o.amopfamily = f.oid),
           'functions', (select jsonb_agg(format('%s %s', p.amprocnum, p.amproc::oid::regprocedure)
                                          order by p.amprocnum, p.amproc::oid::regprocedure::text collate "C")
                         from pg_amproc p where p.amprocfamily = f.oid)
       )) as definition
from pg_opfamily as f
join pg_namespace as n on n.oid = f.opfnamespace
join pg_am as m on m.oid = f.opfmethod
where f.oid >= 16384
  and f.oid not in (select objid from pg_depend
      where classid = 'pg_opfamily'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

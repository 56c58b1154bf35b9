-- Languages for functions, and transforms of types for them.
select 'language' as kind, quote_ident(l.lanname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(l.lanowner), 'trusted', l.lanpltrusted,
           'handler', case when l.lanplcallfoid <> 0 then l.lanplcallfoid::regproc::text end,
           'inline', case when l.laninline <> 0 then l.laninline::regproc::text end,
           'validator', case when l.lanvalidator <> 0 then l.lanvalidator::regproc::text end)) as definition
from pg_language as l
where l.oid >= 16384
  and l.oid not in (select objid from pg_depend
      where classid = 'pg_language'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
union all
select 'transform', format('for %s language %I', format_type(t.trftype, null), l.lanname),
       jsonb_build_object('from_sql', t.trffromsql::text, 'to_sql', t.trftosql::text)
from pg_transform as t
join pg_language as l on l.oid = t.trflang
where t.oid >= 16384
  and t.oid not in (select objid from pg_depend
      where classid = 'pg_transform'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

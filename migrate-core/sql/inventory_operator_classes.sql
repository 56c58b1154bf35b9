-- Operator classes, of which the operators stand with their family.
select 'operator class' as kind, format('%I.%I using %I', n.nspname, c.opcname, m.amname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.opcowner),
           'type', format_type(c.opcintype, null),
           'default', nullif(c.opcdefault, false),
           'storage', case when c.opckeytype <> 0 then format_type(c.opckeytype, null) end,
           'family', (select format('%I.%I', s.nspname, f.opfname)
                      from pg_opfamily f join pg_namespace s on s.oid = f.opfnamespace where f.oid = c.opcfamily)
       )) as definition
from pg_opclass as c
join pg_namespace as n on n.oid = c.opcnamespace
join pg_am as m on m.oid = c.opcmethod
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_opclass'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

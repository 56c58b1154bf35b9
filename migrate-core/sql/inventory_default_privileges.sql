-- Default privileges, in the order of their grantees.
select 'default privileges' as kind,
       format('of %I on %s%s', pg_get_userbyid(d.defaclrole),
              case d.defaclobjtype when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                                   when 'T' then 'types' when 'n' then 'schemas' else 'large objects' end,
              case when d.defaclnamespace <> 0 then ' in schema ' || d.defaclnamespace::regnamespace else '' end) as name,
       jsonb_build_object('granted', coalesce((select jsonb_object_agg(grantee, privileges) from (
           select grantee, string_agg(privilege, ', ' order by privilege) as privileges from (
               select case when a.grantee = 0 then 'public' else pg_get_userbyid(a.grantee) end as grantee,
                      lower(a.privilege_type) || case when bool_or(a.is_grantable) then '*' else '' end as privilege
               from aclexplode(d.defaclacl) as a group by a.grantee, a.privilege_type) as each
           group by grantee) as granted), '{}')) as definition
from pg_default_acl as d
where d.oid not in (select objid from pg_depend
    where classid = 'pg_default_acl'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

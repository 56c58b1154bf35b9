-- The privileges in $1, as a database's list of them has them; no grantee stands for all.
select case when a.grantee = 0 then null else pg_get_userbyid(a.grantee)::text end as grantee,
       a.privilege_type as privilege, a.is_grantable as grantable
from aclexplode($1::text[]::aclitem[]) as a
order by 1 nulls first, 2

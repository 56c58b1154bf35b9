-- ALTER DATABASE … SET, and ALTER ROLE … IN DATABASE … SET of each role.
select r.rolname::text as role, s.setconfig as settings
from pg_db_role_setting as s
left join pg_roles as r on r.oid = s.setrole
where s.setdatabase = (select oid from pg_database where datname = current_database())
  and (s.setrole = 0 or r.oid is not null)
order by r.rolname

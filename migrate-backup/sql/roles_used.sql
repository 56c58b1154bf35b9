-- Roles that must be there before a restore: owners, grantees, roles of policies and settings. What belongs to the first
-- superuser is not among the dependencies, so its owned objects are looked for.
select distinct r.rolname::text as name
from pg_roles as r
where r.rolname !~ '^pg_' and (
    exists (
        select from pg_shdepend as s
        where s.refclassid = 'pg_authid'::regclass and s.refobjid = r.oid
          and (s.dbid = (select oid from pg_database where datname = current_database())
               or s.classid = 'pg_database'::regclass
                  and s.objid = (select oid from pg_database where datname = current_database()))
    )
    or exists (select from pg_database where datname = current_database() and datdba = r.oid)
    or exists (select from pg_db_role_setting
               where setrole = r.oid and setdatabase = (select oid from pg_database where datname = current_database()))
    or exists (select from pg_class where relowner = r.oid and oid >= 16384 and relnamespace <> 'pg_toast'::regnamespace)
    or exists (select from pg_proc where proowner = r.oid and oid >= 16384)
    or exists (select from pg_type where typowner = r.oid and oid >= 16384)
    or exists (select from pg_namespace where nspowner = r.oid and oid >= 16384)
    or exists (select from pg_largeobject_metadata where lomowner = r.oid)
)
order by 1

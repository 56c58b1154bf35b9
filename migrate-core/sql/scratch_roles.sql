-- The SQL that makes the roles of this server anew, in order: without passwords; only the session's own may log in.
select sql
from (
    select 1 as step, rolname as name,
           format('create role %I', rolname) as sql
    from pg_roles where rolname !~ '^pg_' and rolname <> 'migrate_scratch'
    union all
    select 2, rolname,
           format('alter role %I %s %s %s %s %s %s', rolname,
                  case when rolsuper then 'superuser' else 'nosuperuser' end,
                  case when rolcreaterole then 'createrole' else 'nocreaterole' end,
                  case when rolcreatedb then 'createdb' else 'nocreatedb' end,
                  case when rolinherit then 'inherit' else 'noinherit' end,
                  case when rolbypassrls then 'bypassrls' else 'nobypassrls' end,
                  case when rolname = session_user then 'login' else 'nologin' end)
    -- The copy's own superuser stays what it is.
    from pg_roles where rolname !~ '^pg_' and rolname <> 'migrate_scratch'
    union all
    select 3, member.rolname,
           format('grant %I to %I%s', role.rolname, member.rolname,
                  case when m.admin_option then ' with admin option' else '' end)
    from pg_auth_members as m
    join pg_roles as role on role.oid = m.roleid
    join pg_roles as member on member.oid = m.member
    where member.rolname !~ '^pg_'
    union all
    select 4, spcname, format('create tablespace %I location %L', spcname, '')
    from pg_tablespace where spcname !~ '^pg_'
) as steps
order by step, name, sql

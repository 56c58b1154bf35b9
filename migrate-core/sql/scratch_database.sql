-- The SQL that makes a database of the same name with the same owner, privileges and settings: what pg_dump leaves out.
-- A setting is what a new session of this role gets, from wherever: file, database or role.
select sql
from (
    select 1 as step, '' as name,
           format('alter database %I owner to %I', datname, pg_get_userbyid(datdba)) as sql
    from pg_database where datname = current_database()
    union all
    select 2, '', format('revoke all on database %I from public', datname)
    from pg_database where datname = current_database() and datacl is not null
    union all
    select 3, grantee::text,
           format('grant %s on database %I to %s%s', privilege_type, datname,
                  case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
                  case when is_grantable then ' with grant option' else '' end)
    from pg_database, aclexplode(datacl)
    where datname = current_database()
    union all
    select 4, name,
           format('select set_config(%L, %L, false); alter database %I set %s from current', name, reset_val,
                  current_database(), (select string_agg(quote_ident(part), '.') from unnest(string_to_array(name, '.')) as part))
    from pg_settings
    where context in ('user', 'superuser') and reset_val is distinct from boot_val
      -- Ours, those of the connection, what only says where and how much to log, and what loads code.
      and name not in ('application_name', 'migrate.session', 'client_encoding', 'session_authorization', 'role',
                       'is_superuser', 'tcp_keepalives_idle', 'tcp_keepalives_interval', 'tcp_keepalives_count',
                       'tcp_user_timeout', 'client_connection_check_interval')
      and name !~ '^(log_|lc_|debug_)' and name !~ '_preload_libraries$' and name <> 'dynamic_library_path'
) as steps
order by step, name, sql

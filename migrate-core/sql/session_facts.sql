-- Who and what is at the other end; and settings that older servers lack: an orphan of ours ends in about a second (14), and no limit ends us (14, 17).
select current_database() as database, session_user as role, current_setting('migrate.session', true) as mark,
       (select rolsuper from pg_roles where rolname = session_user) as superuser,
       current_setting('server_version_num') as server_version_num,
       case when has_function_privilege('pg_control_system()', 'execute')
            then (select system_identifier from pg_control_system()) end as system_identifier,
       case when pg_is_in_recovery() then 0
            else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer end as timeline,
       pg_backend_pid() as backend_pid, pg_is_in_recovery() as in_recovery,
       current_setting('transaction_read_only')::boolean as read_only,
       getdatabaseencoding() as encoding,
       (extract(epoch from clock_timestamp()) * 1000000)::bigint as now_us,
       case when current_setting('server_version_num')::integer >= 140000
            then set_config('client_connection_check_interval', '1000', false) end as check_interval,
       case when current_setting('server_version_num')::integer >= 140000
            then set_config('idle_session_timeout', '0', false) end as idle_timeout,
       case when current_setting('server_version_num')::integer >= 170000
            then set_config('transaction_timeout', '0', false) end as transaction_timeout

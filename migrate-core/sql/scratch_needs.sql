-- What a copy of this database needs, and whether this role could make one beside it.
select (select oid from pg_database where datname = current_database()) as database,
       current_setting('server_version_num')::integer / 10000 as major,
       array(select extname::text from pg_extension order by extname) as extensions,
       (select rolcreatedb or rolsuper from pg_roles where rolname = session_user) as may_create,
       exists (select from pg_foreign_server) as foreign_servers

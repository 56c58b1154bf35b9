-- Where the server's data is, if this role may know; and whether the connection leaves the machine.
select case when pg_has_role('pg_read_all_settings', 'usage') then current_setting('data_directory') end as folder,
       inet_server_addr() is null as local

-- Where the server keeps its data, as far as this role may know, and the size of the largest table with its indexes.
select case when pg_has_role(current_user, 'pg_read_all_settings', 'usage') then current_setting('data_directory') end as data_directory,
       array(select pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) <> '' order by 1) as tablespaces,
       coalesce((select max(pg_total_relation_size(oid)) from pg_class where relkind in ('r', 'm')), 0)::bigint as largest_bytes

-- What this role may see, and which extensions are there; pg_monitor is a member of pg_read_all_stats.
select pg_has_role(current_user, 'pg_read_all_stats', 'usage') as monitor,
       array(select extname::text from pg_extension order by extname) as extensions

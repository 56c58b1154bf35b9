-- Settings of the server, the database or the role that put data or a migration at risk.
-- group: preflight
-- pass: no setting is known to do harm
-- meaning: Some settings trade safety for speed, hide damage, or end statements that a migration needs.
-- hint: set it back, and reload or restart the server as it needs
with wanted (name, bad, status, why) as (values
    ('fsync', '{off}'::text[], 'fail', 'a crash of the machine can destroy the database'),
    ('full_page_writes', '{off}', 'fail', 'a crash of the machine can leave half written pages'),
    ('zero_damaged_pages', '{on}', 'fail', 'damaged pages are emptied in silence'),
    ('ignore_checksum_failure', '{on}', 'fail', 'damaged pages are taken for sound ones'),
    ('session_replication_role', '{replica}', 'fail', 'neither triggers nor foreign keys work'),
    ('autovacuum', '{off}', 'warn', 'nothing removes old row versions, and statistics get old'),
    ('track_counts', '{off}', 'warn', 'autovacuum does not know what to do'),
    ('synchronous_commit', '{off}', 'warn', 'the last transactions are lost in a crash'),
    ('default_transaction_read_only', '{on}', 'warn', 'transactions cannot write unless they say so'),
    ('event_triggers', '{off}', 'warn', 'event triggers do not fire'),
    ('row_security', '{off}', 'warn', 'queries of tables with row security fail'),
    ('log_statement', '{all,mod}', 'warn', 'each statement of a migration goes to the server''s log, with its values')
), sources as (
    select s.name, s.reset_val as value, 'server' as object, 0 as rank from pg_settings as s
    union all
    select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1),
           coalesce('role ' || quote_ident(r.rolname), 'all roles') || coalesce(' in ' || quote_ident(d.datname), ''),
           1
    from pg_db_role_setting as s
    cross join lateral unnest(s.setconfig) as setting
    left join pg_roles as r on r.oid = s.setrole
    left join pg_database as d on d.oid = s.setdatabase
    where d.datname is null or d.datname = current_database()
), locks as (
    -- A transaction that touches every table, such as a dump, needs a lock for each of them.
    select count(*) as relations,
           current_setting('max_locks_per_transaction')::bigint
           * (current_setting('max_connections')::bigint + current_setting('max_prepared_transactions')::bigint) as room
    from pg_class where relkind in ('r', 'p', 'i', 'S', 'm')
)
select min(object) as object, 1::bigint as count, status, format('%s = %s: %s', name, value, why) as message
from wanted
join sources using (name)
where value = any (bad)
  -- Ours; the server's own and those of roles are told with their source.
  and not (name = 'row_security' and rank = 0) and not (name = 'default_transaction_read_only' and rank = 0)
group by name, value, why, status, case when rank = 0 then 'server' else object end
union all
select 'server', relations, 'warn',
       format('max_locks_per_transaction leaves room for %s locks in all, and a dump needs one for each of %s tables and indexes', room, relations)
from locks where relations > room
order by 3, 4, 1

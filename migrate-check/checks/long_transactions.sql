-- Transactions that have been open for long.
-- group: health preflight
-- needs: monitor
-- pass: no transaction is old
-- meaning: It keeps its locks, and old row versions cannot be removed meanwhile. A migration that needs a table of it
--   waits, and everybody behind the migration. Failed from an hour, or an idle one from 5 minutes (in seconds, the
--   settings migrate.transaction_limit and migrate.idle_limit of the database); warned of from a tenth of it.
-- hint: let it end, or end it; look at it with migrate-check activity
with limits as (
    select coalesce(nullif(current_setting('migrate.transaction_limit', true), ''), '3600')::bigint as transaction,
           coalesce(nullif(current_setting('migrate.idle_limit', true), ''), '300')::bigint as idle
), old as (
    select a.pid, a.usename, a.application_name, a.state, a.query,
           extract(epoch from clock_timestamp() - a.xact_start)::bigint as age,
           case when a.state like 'idle in transaction%' then extract(epoch from clock_timestamp() - a.state_change)::bigint end as idle
    from pg_stat_activity as a
    where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
      and a.xact_start is not null
)
select format('process %s', pid) as object, 1::bigint as count,
       case when old.idle >= limits.idle or age >= transaction then 'fail' else 'warn' end as status,
       format('%s of %s%s has been open for %s', case when old.idle is null then 'a transaction' else 'an idle transaction' end,
              quote_ident(usename), coalesce(' (' || nullif(application_name, '') || ')', ''), make_interval(secs => age)) as message,
       format('select pg_terminate_backend(%s)', pid) as fix
from old, limits
where age >= transaction / 10 or old.idle >= limits.idle / 10
order by age desc, pid

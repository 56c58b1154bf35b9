-- Connections, and how long the oldest work has been going on.
-- gauge migrate_connections: Sessions of clients in this database, by state.
-- gauge migrate_server_connections: Sessions of clients on the whole server.
-- gauge migrate_server_connections_limit: Sessions that clients who are no superusers may have in all.
-- gauge migrate_oldest_transaction_age_seconds: Age of the oldest transaction in this database.
-- gauge migrate_oldest_idle_transaction_age_seconds: How long the longest idle session in a transaction has done nothing.
-- gauge migrate_oldest_query_age_seconds: Age of the oldest query that runs in this database.
-- gauge migrate_blocked_sessions: Sessions in this database that wait for a lock.
-- gauge migrate_prepared_transactions: Prepared transactions in this database, which hold their locks until they are ended.
-- gauge migrate_oldest_prepared_transaction_age_seconds: Age of the oldest prepared transaction in this database.
with seen as (
    select a.*, a.backend_type is null as hidden
    from pg_stat_activity as a
    where coalesce(a.backend_type, 'client backend') = 'client backend' and a.pid <> pg_backend_pid() and a.datname = current_database()
), hidden as (
    select coalesce(bool_or(hidden), false) as any_hidden from seen
), states as (
    select state, (select count(*) from seen where seen.state = states.state)
    from unnest(array['active', 'idle', 'idle in transaction', 'idle in transaction (aborted)']) as states (state)
), prepared as (
    select count(*) as number, max(extract(epoch from clock_timestamp() - prepared)) as age
    from pg_prepared_xacts where database = current_database()
), ages as (
    select coalesce(max(extract(epoch from clock_timestamp() - xact_start)), 0) as transaction,
           coalesce(max(extract(epoch from clock_timestamp() - state_change)) filter (where state like 'idle in transaction%'), 0) as idle,
           coalesce(max(extract(epoch from clock_timestamp() - query_start)) filter (where state = 'active'), 0) as query
    from seen
)
select 'migrate_connections' as name, array['state', state] as labels, case when hidden.any_hidden then null else count end::float8 as value
from states, hidden
union all
select 'migrate_server_connections', '{}', count(*) from pg_stat_activity
where backend_type = 'client backend' or (backend_type is null and datid is not null)
union all
select 'migrate_server_connections_limit', '{}',
       current_setting('max_connections')::float8 - current_setting('superuser_reserved_connections')::float8
       - coalesce(current_setting('reserved_connections', true), '0')::float8
union all
select 'migrate_oldest_transaction_age_seconds', '{}', case when any_hidden then null else transaction end from ages, hidden
union all
select 'migrate_oldest_idle_transaction_age_seconds', '{}', case when any_hidden then null else idle end from ages, hidden
union all
select 'migrate_oldest_query_age_seconds', '{}', case when any_hidden then null else query end from ages, hidden
union all
select 'migrate_blocked_sessions', '{}', count(distinct l.pid)
from pg_locks as l
join pg_stat_activity as a on a.pid = l.pid
where not l.granted and a.datname = current_database()
union all
select 'migrate_prepared_transactions', '{}', number from prepared
union all
select 'migrate_oldest_prepared_transaction_age_seconds', '{}', coalesce(age, 0) from prepared

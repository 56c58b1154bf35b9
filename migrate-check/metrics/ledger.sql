-- What the ledger knows of migrations and of the lock.
-- gauge migrate_migrations: Migrations by the state of their last run up.
-- gauge migrate_last_migration_timestamp_seconds: When the last migration was applied, in seconds since 1970.
-- gauge migrate_lock_held: 1 while somebody holds a lease that has not expired.
with last as (
    select distinct on (version) version, status, coalesce(finished_at, applied_at) as at
    from {ledger}._migration_history where direction = 'up' order by version, id desc
)
select 'migrate_migrations' as name, array['state', state] as labels,
       (select count(*) from last where last.status = states.state)::float8 as value
from unnest(array['applied', 'failed', 'running', 'rolled_back']) as states (state)
union all
select 'migrate_last_migration_timestamp_seconds', '{}', extract(epoch from max(at)) from last where status = 'applied'
having max(at) is not null
union all
select 'migrate_lock_held', '{}', exists (select from {ledger}._migration_locks where expires_at > clock_timestamp())::integer

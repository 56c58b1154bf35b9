-- Standbys that are behind.
-- group: health preflight
-- needs: monitor
-- pass: no standby is far behind
-- meaning: A failover would lose what a standby has not received, and its readers see old rows. A migration that
--   writes much makes it worse. Failed from 1 GB or 60 seconds (the settings
--   migrate.lag_bytes and migrate.lag_limit of the database); warned of from a sixth of the time or a 64th of that.
-- hint: wait until it has caught up; look at its load, its disk and the network
with limits as (
    select coalesce(nullif(current_setting('migrate.lag_bytes', true), ''), '1073741824')::bigint as most, coalesce(nullif(current_setting('migrate.lag_limit', true), ''), '60')::bigint as longest
), position as (
    select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn
), lags as (
    select 'standby ' || quote_ident(application_name) || coalesce(' at ' || host(client_addr), '') as object,
           coalesce(pg_wal_lsn_diff(position.lsn, replay_lsn), 0)::bigint as bytes, coalesce(extract(epoch from replay_lag), 0)::bigint as seconds,
           pid
    from pg_stat_replication, position
    where state <> 'backup'
    union all
    select 'this standby', coalesce(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::bigint,
           case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                else coalesce(extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()), 0) end::bigint, 0
    where pg_is_in_recovery()
)
select object, bytes as count,
       case when bytes >= most or seconds >= longest then 'fail' else 'warn' end as status,
       format('%s and %s s behind', pg_size_pretty(bytes), seconds) as message
from lags, limits
where bytes >= most / 64 or seconds >= longest / 6
order by 1, pid

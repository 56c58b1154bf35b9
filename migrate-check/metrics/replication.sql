-- What standbys and slots hold back, and how far a standby is behind.
-- gauge migrate_in_recovery: 1 on a standby, 0 on a primary.
-- gauge migrate_replication_lag_bytes: How much of the write-ahead log a standby has not replayed.
-- gauge migrate_replication_lag_seconds: How long ago what a standby replays now was written; 0 where it has all.
-- gauge migrate_replication_slot_retained_bytes: How much of the write-ahead log a slot keeps from being removed.
-- gauge migrate_replication_slot_active: 1 where somebody reads the slot.
-- counter migrate_archive_failures_total: Files of the write-ahead log that could not be archived.
with position as (
    select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn
), standbys as (
    select application_name as name, client_addr::text as client, state,
           pg_wal_lsn_diff(position.lsn, replay_lsn) as bytes, extract(epoch from replay_lag) as seconds, replay_lsn
    from pg_stat_replication, position
)
select 'migrate_in_recovery' as name, '{}'::text[] as labels, pg_is_in_recovery()::integer::float8 as value
union all
select 'migrate_replication_lag_bytes', array['standby', name, 'client', coalesce(client, '')], max(bytes)
from standbys group by name, client
union all
select 'migrate_replication_lag_seconds', array['standby', name, 'client', coalesce(client, '')],
       case when bool_or(replay_lsn is null) then null else max(coalesce(seconds, 0)) end
from standbys group by name, client
union all
select 'migrate_replication_lag_seconds', '{standby,self,client,""}',
       case when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
            else extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) end
where pg_is_in_recovery()
union all
select 'migrate_replication_slot_retained_bytes', array['slot', slot_name], pg_wal_lsn_diff(position.lsn, restart_lsn)
from pg_replication_slots, position where restart_lsn is not null
union all
select 'migrate_replication_slot_active', array['slot', slot_name], active::integer from pg_replication_slots
union all
select 'migrate_archive_failures_total', '{}', failed_count from pg_stat_archiver

-- Standbys that stream from here: bytes of WAL written here, replayed there, and how late that was by its own word.
select coalesce(nullif(application_name, ''), 'unnamed') as name,
       pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint as written,
       pg_wal_lsn_diff(replay_lsn, '0/0')::bigint as replayed,
       (extract(epoch from replay_lag) * 1000)::bigint as lag_ms
from pg_stat_replication
where state = 'streaming' and replay_lsn is not null

-- Standbys, and how far each is behind: what it has still to replay, and how long ago that was written.
select coalesce(nullif(application_name, ''), 'unnamed') as name, extract(epoch from replay_lag)::float8 as seconds,
       pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)::bigint as bytes
from pg_stat_replication
where state = 'streaming' and replay_lsn is not null

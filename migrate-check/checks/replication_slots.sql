-- Replication slots that nobody reads, or that keep much of the log.
-- group: health preflight
-- pass: no slot keeps the log for nobody
-- meaning: A slot keeps all that its reader has not confirmed. Without a reader it fills the disk until the server
--   stops, and it holds vacuum up. A migration that writes much makes it worse.
-- hint: bring its reader back, or drop the slot if there will be none
select quote_ident(slot_name) as object, coalesce(pg_wal_lsn_diff(here.lsn, restart_lsn), 0)::bigint as count,
       case when kept.bytes >= 1073741824 or to_jsonb(s) ->> 'wal_status' in ('unreserved', 'lost') then 'fail' else 'warn' end as status,
       format('%s, keeps %s of the log%s', case when active then 'it is read' else 'nobody reads it' end,
              pg_size_pretty(coalesce(kept.bytes, 0)),
              case when to_jsonb(s) ->> 'wal_status' in ('unreserved', 'lost') then ', of which some is gone' end) as message,
       case when not active then format('select pg_drop_replication_slot(%L)', slot_name) end as fix
from pg_replication_slots as s
cross join lateral (select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end as lsn) as here
cross join lateral (select pg_wal_lsn_diff(here.lsn, restart_lsn)::bigint as bytes) as kept
where not temporary and (not active or kept.bytes >= 1073741824 or to_jsonb(s) ->> 'wal_status' in ('unreserved', 'lost'))
order by 1

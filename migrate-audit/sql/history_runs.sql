-- All rows of the history with their ways back, to be compared with the log.
select h.id, h.version, h.direction, h.run_id, h.name, h.checksum, h.status, h.execution_ms, h.estimate_ms, h.applied_by,
       (extract(epoch from h.finished_at) * 1000000)::bigint as finished_at,
       s.down_checksum, s.transactional,
       'sha256:' || encode(sha256(convert_to(replace(s.down_sql, E'\r\n', E'\n'), 'UTF8')), 'hex') as down_sql_checksum
from {ledger}._migration_history as h
left join {ledger}._migration_scripts as s on s.history_id = h.id
order by h.id

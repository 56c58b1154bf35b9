-- The same of COPY, which servers tell since version 14.
select 'copying' as phase, bytes_processed as done, bytes_total as total, 'bytes' as unit
from pg_stat_progress_copy where pid = $1

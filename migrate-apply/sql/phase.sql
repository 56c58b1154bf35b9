-- How far the command of session $1 has come, of those that the server tells it of; unit is 'blocks' or 'rows'.
select p.phase, p.done, p.total, p.unit
from (
    select phase, case when blocks_total > 0 then blocks_done else tuples_done end as done,
           case when blocks_total > 0 then blocks_total else tuples_total end as total,
           case when blocks_total > 0 then 'blocks' else 'rows' end as unit
    from pg_stat_progress_create_index where pid = $1
    union all
    select phase, heap_blks_scanned, heap_blks_total, 'blocks' from pg_stat_progress_cluster where pid = $1
    union all
    select phase, heap_blks_scanned, heap_blks_total, 'blocks' from pg_stat_progress_vacuum where pid = $1
) as p

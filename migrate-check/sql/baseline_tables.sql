-- How large tables are and how they are read; shape changes when columns, constraints or indexes do.
select format('%I.%I', n.nspname, c.relname) as name,
       pg_table_size(c.oid) as bytes, pg_indexes_size(c.oid) as index_bytes,
       s.n_live_tup as rows, coalesce(s.seq_scan, 0) as seq_scans, coalesce(s.seq_tup_read, 0) as seq_rows,
       coalesce(s.idx_scan, 0) as index_scans,
       md5(coalesce((select string_agg(concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull), ',' order by a.attnum)
                     from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), '')
           || coalesce((select string_agg(pg_get_indexdef(i.indexrelid), ',' order by i.indexrelid)
                        from pg_index as i where i.indrelid = c.oid), '')) as shape
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
join pg_stat_user_tables as s on s.relid = c.oid
where c.relkind in ('r', 'm') and c.relpersistence <> 't'
order by 1

-- Indexes that no query can use, or that are no longer kept up to date.
-- group: integrity preflight
-- pass: every index is valid
-- meaning: CREATE INDEX CONCURRENTLY, REINDEX CONCURRENTLY or DROP INDEX CONCURRENTLY was interrupted, or an
--   index of a partitioned table lacks a part. It costs writes and serves no query, and an invalid unique
--   index may refuse rows all the same.
-- hint: drop it and build it again; while an index is being built at this moment it is invalid, too
-- fix: drop index concurrently NAME, then create it again
select format('%I.%I', n.nspname, c.relname) as object, 1::bigint as count,
       case when building.pid is not null then 'warn' else 'fail' end as status,
       case when building.pid is not null
            then format('it is being built by process %s', building.pid)
            when not i.indislive then 'it was half dropped'
            when c.relkind = 'I' then 'an index of a partitioned table that lacks parts'
            when c.relname ~ '_ccnew[0-9]*$' then 'what an interrupted REINDEX CONCURRENTLY left'
            when c.relname ~ '_ccold[0-9]*$' then 'the old index that REINDEX CONCURRENTLY did not remove'
            when i.indisunique and i.indisready then 'it is not valid, but refuses duplicate rows: its build was interrupted'
            when not i.indisready then 'it is not valid and not kept up to date: its build was interrupted'
            else 'it is not valid: its build was interrupted' end as message,
       case when building.pid is not null then null
            when c.relkind = 'I' then 'attach the parts that lack: alter index ' || format('%I.%I', n.nspname, c.relname)
                                      || ' attach partition …'
            when i.indisunique and exists (select from pg_constraint where conindid = c.oid)
            then format('reindex index concurrently %I.%I', n.nspname, c.relname)
            else format('drop index concurrently %I.%I', n.nspname, c.relname)
                 || coalesce('; -- then: ' || pg_get_indexdef(c.oid), '') end as fix
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
join pg_namespace as n on n.oid = c.relnamespace
left join pg_stat_progress_create_index as building
       on building.index_relid = i.indexrelid and building.datid = (select oid from pg_database where datname = current_database())
where not (i.indisvalid and i.indisready and i.indislive)
order by 1

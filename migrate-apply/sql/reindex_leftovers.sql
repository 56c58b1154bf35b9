-- Invalid indexes that an interrupted REINDEX CONCURRENTLY of the $1 (index, table, schema, database) $2 left behind.
select i.indexrelid::text as oid, c.relname::text as name, format('%I.%I', n.nspname, c.relname) as qualified,
       i.indisvalid as valid, i.indisready as ready, false as being_built
from pg_index as i
join pg_class as c on c.oid = i.indexrelid
join pg_namespace as n on n.oid = c.relnamespace
where not i.indisvalid and c.relname ~ '_cc(new|old)[0-9]*$'
  and not exists (select from pg_stat_progress_create_index as p where p.index_relid = i.indexrelid)
  and case $1::text
      when 'index' then i.indrelid = (select indrelid from pg_index where indexrelid = to_regclass($2::text))
      when 'table' then i.indrelid = to_regclass($2::text)
      when 'schema' then n.nspname = $2::text
      else true
      end
order by c.relname

-- How big the tables are; without waiting for one that somebody has locked, whose size is then as of its last vacuum.
select concat(quote_ident(n.nspname), '.', quote_ident(c.relname)) as name,
       case when exists (select from pg_locks as l
                         where l.relation = c.oid and l.mode = 'AccessExclusiveLock' and l.pid <> pg_backend_pid()
                           and l.database = (select oid from pg_database where datname = current_database()))
            then c.relpages::bigint * current_setting('block_size')::bigint
            else coalesce(pg_total_relation_size(c.oid), 0) end as bytes,
       -- 0 and -1 mean that no vacuum has counted yet: then what the server saw going in and out.
       case when c.reltuples > 0 then c.reltuples::bigint else coalesce(pg_stat_get_live_tuples(c.oid), 0) end as rows_estimate
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm', 'f') and n.nspname <> all (array['pg_catalog', 'information_schema'])
  and n.nspname !~ '^pg_(toast|temp)'

-- Collations that sort otherwise now than when their indexes were built.
-- group: integrity
-- needs: version 150000
-- pass: every collation in use has the version that its indexes were built with
-- meaning: The operating system or ICU was upgraded under the database. Texts sort in a new order, and indexes built
--   in the old one miss rows and let duplicates pass. Partition bounds and CHECK constraints may be wrong, too.
-- hint: rebuild the indexes that use it, look for duplicate keys, and only then refresh the version
with used as (
    select i.indexrelid, unnest(i.indcollation::oid[]) as sorts_by
    from pg_index as i
    join pg_class as c on c.oid = i.indexrelid and c.relkind = 'i'
), found as (
    select quote_ident(d.datname) as object, 'database' as kind, d.datcollversion as stored,
           pg_database_collation_actual_version(d.oid) as actual,
           (select count(distinct indexrelid) from used where sorts_by = 'pg_catalog."default"'::regcollation) as indexes,
           format('alter database %I refresh collation version', d.datname) as refresh
    from pg_database as d
    where d.datname = current_database()
    union all
    select format('%I.%I', n.nspname, l.collname), 'collation', l.collversion, pg_collation_actual_version(l.oid),
           (select count(distinct indexrelid) from used where sorts_by = l.oid),
           format('alter collation %I.%I refresh version', n.nspname, l.collname)
    from pg_collation as l
    join pg_namespace as n on n.oid = l.collnamespace
    where l.collversion is not null
      -- Hundreds come with the server: only those that a column, an index or a domain uses.
      and (exists (select from used where sorts_by = l.oid)
           or exists (select from pg_attribute as a where a.attcollation = l.oid and a.attnum > 0)
           or exists (select from pg_type as t where t.typcollation = l.oid))
)
select object, indexes as count,
       format('%s: built with version %s, the system has %s; indexes that use it: %s',
              kind, stored, coalesce(actual, 'none'), indexes) as message,
       'reindex database concurrently ' || quote_ident(current_database()) || '; ' || refresh as fix
from found
where stored is not null and stored is distinct from actual
order by 1

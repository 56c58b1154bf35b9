-- What session $1 has locked, or wants to lock, in this database or (shared) in all of its server. Seen from that
-- session itself, also which file each table is in now, and how often this transaction has read it from end to end.
-- There is always a row: the lock of the session's own transaction, which has no relation.
select l.virtualtransaction as transaction, coalesce(l.relation, 0::pg_catalog.oid) as oid, l.mode, l.granted,
       case when l.database operator(pg_catalog.=) 0::pg_catalog.oid
            then l.relation::pg_catalog.regclass::pg_catalog.text end as shared,
       -- Not as a join, which might read all of pg_class after each statement.
       (select c.relfilenode from pg_catalog.pg_class as c where c.oid operator(pg_catalog.=) l.relation) as filenode,
       coalesce(pg_catalog.pg_stat_get_xact_numscans(l.relation), 0) as scans
from pg_catalog.pg_locks as l
where l.pid operator(pg_catalog.=) $1
  and (l.locktype operator(pg_catalog.=) 'virtualxid' or l.locktype operator(pg_catalog.=) 'relation')
  and (l.database is null or l.database operator(pg_catalog.=) 0::pg_catalog.oid
       or l.database operator(pg_catalog.=) (select d.oid from pg_catalog.pg_database as d
                                             where d.datname operator(pg_catalog.=) pg_catalog.current_database()))

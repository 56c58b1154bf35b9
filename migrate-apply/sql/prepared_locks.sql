-- Prepared transactions of this database that hold locks on tables; they belong to no session that could be ended.
select p.gid, p.owner::text as owner, (extract(epoch from clock_timestamp() - p.prepared) * 1000)::bigint as age_ms,
       (select string_agg(distinct l.relation::regclass::text, ', ')
        from pg_locks as own
        join pg_locks as l on l.pid is null and l.virtualtransaction = own.virtualtransaction
        where own.pid is null and own.locktype = 'transactionid' and own.transactionid = p.transaction
          and l.locktype = 'relation') as tables
from pg_prepared_xacts as p
where p.database = current_database()
order by p.prepared

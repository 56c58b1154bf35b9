-- Prepared transactions that nobody has ended.
-- group: health preflight
-- pass: there is no prepared transaction
-- meaning: PREPARE TRANSACTION leaves its locks behind without a session, also over a restart. Whoever coordinates
--   it should end it within seconds; one that was forgotten blocks migrations and vacuum for ever. Failed from a
--   minute (in seconds, the setting migrate.prepared_limit of the database).
-- hint: find its coordinator; then commit or roll it back
select quote_literal(gid) as object, 1::bigint as count,
       case when clock_timestamp() - prepared >= make_interval(secs => coalesce(nullif(current_setting('migrate.prepared_limit', true), ''), '60')::bigint) then 'fail' else 'warn' end as status,
       format('prepared by %s %s ago', quote_ident(owner), date_trunc('second', clock_timestamp() - prepared)) as message,
       format('rollback prepared %L', gid) as fix
from pg_prepared_xacts
where database = current_database()
order by prepared, 1

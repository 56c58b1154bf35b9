-- Vacuums against wraparound, which don't give way.
-- group: preflight
-- needs: monitor
-- pass: no vacuum against wraparound is running
-- meaning: Autovacuum ends when somebody wants its table, but not this kind. A migration of that table waits for it.
-- hint: wait until it has ended
select format('process %s', a.pid) as object, 1::bigint as count, 'warn' as status, a.query as message
from pg_stat_activity as a
where a.datname = current_database() and a.backend_type = 'autovacuum worker' and a.query ~ 'to prevent wraparound'
order by a.pid

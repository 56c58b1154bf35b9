-- What a script has left that only cleanup_left_over.sql takes away, prepared statements and advisory locks; and
-- whether it has a hand on the ledger's objects $2: locks that neither reading nor a COMMENT takes. $1 is true where
-- this transaction has written to the ledger itself: then rows are told by ledger_state.sql.
select coalesce(bool_or(locktype = 'advisory' and not (objsubid = 2 and classid = 1835624306)), false)
       or exists (select from pg_prepared_statements where from_sql and not starts_with(name, '_migration_')) as left_over,
       coalesce(bool_or(
           relation = any ($2::oid[])
           and mode not in ('AccessShareLock', 'RowShareLock', 'ShareUpdateExclusiveLock')
           and not ($1::boolean and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock'))
       ), false) as ledger_locked
from pg_locks
where pid = pg_backend_pid()

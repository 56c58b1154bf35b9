-- What a script has left that only cleanup_left_over.sql takes away, prepared statements and advisory locks; and
-- whether it has a hand on the ledger's tables: locks that neither rows nor a COMMENT take. $1 is true where this
-- transaction has locked the audit log already; the name of the schema is put into the text as a literal.
select coalesce(bool_or(locktype = 'advisory' and not (objsubid = 2 and classid = 1835624306)), false)
       or exists (select from pg_prepared_statements where from_sql and name !~ '^_migration_') as left_over,
       coalesce(bool_or(
           relation = any ((select array[
               to_regclass(format('%I._migration_locks', $2::text)), to_regclass(format('%I._migration_history', $2::text)),
               to_regclass(format('%I._migration_scripts', $2::text)), to_regclass(format('%I._migration_progress', $2::text)),
               to_regclass(format('%I._migration_audit_log', $2::text)),
               to_regclass(format('%I._migration_locks_token_seq', $2::text))
           ]::oid[])::oid[])
           and mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareUpdateExclusiveLock')
           and not ($1::boolean and mode = 'ShareRowExclusiveLock')
       ), false) as ledger_locked
from pg_locks
where pid = pg_backend_pid()

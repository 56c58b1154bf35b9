-- What a migration may not change of the ledger: which tables it is, and what this transaction did to their rows. The
-- name of the schema is put into the text as a literal, so it may stand in no comment.
select string_agg(concat_ws(' ',
           relname, oid, relfilenode, relkind, relnatts, relrowsecurity, relhasrules,
           pg_stat_get_xact_tuples_inserted(oid), pg_stat_get_xact_tuples_updated(oid),
           pg_stat_get_xact_tuples_deleted(oid)
       ), ', ' order by oid) as ledger
from pg_class
where oid = any (array[
    to_regclass(format('%I._migration_locks', $1::text)), to_regclass(format('%I._migration_history', $1::text)),
    to_regclass(format('%I._migration_scripts', $1::text)), to_regclass(format('%I._migration_progress', $1::text)),
    to_regclass(format('%I._migration_audit_log', $1::text))
]::oid[])

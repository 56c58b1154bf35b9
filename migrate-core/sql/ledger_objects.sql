-- The numbers of the ledger's tables, indexes and sequences in schema $1.
select coalesce(array_agg(c.oid), '{}')::text as objects
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = $1 and starts_with(c.relname, '_migration_')

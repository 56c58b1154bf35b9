-- The tables that the names $1 mean, in their order; of an index its table.
select coalesce((select i.indrelid from pg_catalog.pg_index i where i.indexrelid operator(pg_catalog.=) n.found), n.found) as found
from (
    select pg_catalog.to_regclass(name)::pg_catalog.oid as found, number
    from pg_catalog.unnest($1::pg_catalog.text[]) with ordinality as names(name, number)
) as n
order by n.number

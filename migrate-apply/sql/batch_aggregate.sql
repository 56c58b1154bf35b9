-- Of functions in schemas $1 (null: where they are found) with names $2, one that takes many rows for one value.
select p.proname::text as name
from unnest($1::text[], $2::text[]) as called (schema, name)
join pg_catalog.pg_proc as p on p.proname = called.name and p.prokind in ('a', 'w')
where case when called.schema is null then pg_catalog.pg_function_is_visible(p.oid)
           else p.pronamespace::regnamespace::text = pg_catalog.quote_ident(called.schema) end
limit 1

-- The extensions of $1 that this server could not create.
select array(
    select name from unnest($1::text[]) as name
    where name not in (select available.name from pg_available_extensions as available)
    order by name
) as missing

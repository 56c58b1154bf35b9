-- The columns of table $1, quoted, in the order of their names.
select coalesce(string_agg(quote_ident(attname), ', ' order by attname collate "C"), '') as columns
from pg_attribute
where attrelid = $1::text::regclass and attnum > 0 and not attisdropped

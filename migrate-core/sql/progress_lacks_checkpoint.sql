-- Whether the journal in schema $1 is of a version that knew no batches.
select not exists (
    select from pg_attribute
    where attrelid = to_regclass(format('%I._migration_progress', $1::text)) and attname = 'checkpoint'
)

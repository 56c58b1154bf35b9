-- The statement journal as one value, for a copy of the database.
select coalesce(json_agg(p), '[]')::text from {ledger}._migration_progress p

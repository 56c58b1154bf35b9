-- All runs of migrations as one value, for a copy of the database.
select coalesce(json_agg(h order by h.id), '[]')::text from {ledger}._migration_history h

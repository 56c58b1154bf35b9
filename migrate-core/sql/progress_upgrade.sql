-- Brings the journal of a version that knew no batches up to date.
alter table {ledger}._migration_progress add column if not exists checkpoint jsonb

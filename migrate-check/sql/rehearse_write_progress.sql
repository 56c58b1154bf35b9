-- Puts the statement journal $1 into a copy.
insert into {ledger}._migration_progress
select * from json_populate_recordset(null::{ledger}._migration_progress, $1::text::json)

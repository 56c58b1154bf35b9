-- Puts the runs of migrations $1 into a copy, where new ones go on behind them.
with rows as (
    insert into {ledger}._migration_history overriding system value
    select * from json_populate_recordset(null::{ledger}._migration_history, $1::text::json)
    returning id
)
select setval(pg_get_serial_sequence('{ledger:text}._migration_history', 'id'), (select max(id) from rows))
where exists (select from rows)

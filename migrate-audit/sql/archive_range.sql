-- The first row, and the last one before which all are older than $1; none where the first is not older.
select first.id as first, case when newer.id is null then last.id else newer.id - 1 end as last
from (select min(id) as id from {ledger}._migration_audit_log) as first,
     (select max(id) as id from {ledger}._migration_audit_log) as last,
     (select min(id) as id from {ledger}._migration_audit_log where timestamp >= $1) as newer

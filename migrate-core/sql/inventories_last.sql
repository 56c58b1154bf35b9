-- The newest inventory that the audit log knows by its hash, and whether a migration ran or began after it.
select i.run_id, i.recorded_at, i.server_version_num, i.sha256,
       (select body.inventory from {ledger}._migration_inventories body
        where body.sha256 = i.sha256 and body.inventory is not null limit 1) as inventory,
       exists (select from {ledger}._migration_audit_log later
               where later.id > a.id and (later.action = 'apply.started' or later.action like 'migration.%')) as outdated
from {ledger}._migration_audit_log as a
join {ledger}._migration_inventories as i on i.run_id = a.run_id and i.sha256 = a.details ->> 'schema_sha256'
order by a.id desc
limit 1

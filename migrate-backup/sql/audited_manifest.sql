-- What the audit log says of a backup's manifest: read from the text that is hashed, not from its copies.
select id, canonical::json -> 'details' ->> 'manifest_sha256' as manifest_sha256
from {ledger}._migration_audit_log
where action = 'backup.created' and subject = $1
order by id desc
limit 1

-- Appends a row to the chain: $1 timestamp, $2 actor, $3 action, $4 subject, $5 run, $6 canonical.
insert into {ledger}._migration_audit_log
    (id, timestamp, actor, action, subject, run_id, details, canonical, prev_hash, hash)
select head.id + 1, $1, $2, $3, $4, $5, $6::text::jsonb -> 'details', $6::text, head.hash,
       sha256('migrate-audit/v1'::bytea || int8send(head.id + 1) || head.hash
              || int8send(octet_length(bytes.canonical)) || bytes.canonical)
from (
    -- The second values are those of the row before the first one. A join, since a UNION would read the whole table.
    select coalesce(newest.id, 0) as id,
           coalesce(newest.hash, '\x0000000000000000000000000000000000000000000000000000000000000000') as hash
    from (select) as one
    left join (select id, hash from {ledger}._migration_audit_log order by id desc limit 1) as newest on true
) as head,
(select convert_to($6::text, 'UTF8') as canonical) as bytes
returning id, encode(hash, 'hex') as hash, txid_current_if_assigned() as xid

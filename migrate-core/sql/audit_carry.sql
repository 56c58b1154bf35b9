-- A row of the same log, from another database that goes on from where this one ends: $1 to $10 are its columns.
insert into {ledger}._migration_audit_log
    (id, timestamp, actor, action, subject, run_id, details, canonical, prev_hash, hash)
select $1::bigint, $2::timestamptz, $3::text, $4::text, $5::text, $6::text, $7::text::jsonb, $8::text, $9::bytea, $10::bytea
where $9::bytea = coalesce((select hash from {ledger}._migration_audit_log order by id desc limit 1),
                           decode(repeat('00', 32), 'hex'))

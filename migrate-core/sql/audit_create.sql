-- The audit log: append-only, each row chained to the one before by its hash.
create table if not exists {ledger}._migration_audit_log (
    id        bigint      primary key,
    timestamp timestamptz not null,
    actor     text        not null,
    action    text        not null,
    subject   text,
    run_id    text,
    details   jsonb       not null,
    canonical text        not null,
    prev_hash bytea       not null unique,
    hash      bytea       not null unique
);
create or replace function {ledger}._migration_audit_refuse() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    raise exception '_migration_audit_log is append-only: % refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$;
drop trigger if exists _migration_audit_append_only on {ledger}._migration_audit_log;
create trigger _migration_audit_append_only
    before update or delete or truncate on {ledger}._migration_audit_log
    for each statement execute function {ledger}._migration_audit_refuse();
alter table {ledger}._migration_audit_log enable always trigger _migration_audit_append_only;
comment on table {ledger}._migration_audit_log is 'What was done, tried and decided; check it with `migrate-audit verify`.';
comment on column {ledger}._migration_audit_log.id is 'Gapless: a missing number is a removed row.';
comment on column {ledger}._migration_audit_log.canonical is 'The bytes that are hashed; the other columns are copies.';
comment on column {ledger}._migration_audit_log.hash is
    'sha256(''migrate-audit/v1'' || int8send(id) || prev_hash || int8send(octet_length(canonical)) || canonical)';

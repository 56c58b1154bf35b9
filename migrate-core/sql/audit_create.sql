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
-- Evidence is looked for by its kind, the newest first, and the log may be long.
create index if not exists _migration_audit_log_action on {ledger}._migration_audit_log (action, id);
-- Rows may leave in one way only: the transaction that removes them has appended which ones stand in a file, and
-- removes those and no others. So nobody can take this way without leaving a row in the chain.
create or replace function {ledger}._migration_audit_refuse() returns trigger
    language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    log text := format('%I.%I', tg_table_schema, tg_table_name);
    last_id bigint;
    exact boolean := false;
begin
    if tg_op = 'DELETE' then
        execute 'select case when action = ''audit.archived'' '
                'and xmin::text = (txid_current() % 4294967296)::text then (details ->> ''last_id'')::bigint end '
                'from ' || log || ' order by id desc limit 1' into last_id;
        if last_id is not null and tg_when = 'BEFORE' then
            return null;
        elsif last_id is not null then
            execute 'select min(id) = $1 + 1 and count(*) = max(id) - $1 from ' || log into exact using last_id;
            if exact then
                return null;
            end if;
        end if;
    end if;
    raise exception '_migration_audit_log is append-only: % refused', lower(tg_op)
        using errcode = 'insufficient_privilege';
end
$$;
drop trigger if exists _migration_audit_append_only on {ledger}._migration_audit_log;
create trigger _migration_audit_append_only
    before update or delete or truncate on {ledger}._migration_audit_log
    for each statement execute function {ledger}._migration_audit_refuse();
alter table {ledger}._migration_audit_log enable always trigger _migration_audit_append_only;
drop trigger if exists _migration_audit_archive_only on {ledger}._migration_audit_log;
create trigger _migration_audit_archive_only
    after delete on {ledger}._migration_audit_log
    for each statement execute function {ledger}._migration_audit_refuse();
alter table {ledger}._migration_audit_log enable always trigger _migration_audit_archive_only;
-- For psql alone: whether each row continues the one before and says what was hashed.
create or replace view {ledger}._migration_audit_chain as
select id, timestamp, actor, action, subject,
       case
           when id <> coalesce(before + 1, 1) and not archived then 'rows are missing before this one'
           when prev_hash <> coalesce(hash_before, decode(repeat('00', 32), 'hex')) and not archived
               then 'it does not continue the row before'
           when hash <> sha256('migrate-audit/v1'::bytea || int8send(id) || prev_hash
                               || int8send(octet_length(bytes)) || bytes)
               then 'its hash is not that of its content'
           when said is distinct from
                jsonb_build_object('actor', actor, 'action', action, 'subject', subject, 'run_id', run_id,
                                   'details', details)
                or stated is distinct from timestamp
               then 'a column says something else than what was hashed'
       end as problem
from (
    select id, timestamp, actor, action, subject, run_id, details, prev_hash, hash,
           lag(id) over in_order as before, lag(hash) over in_order as hash_before,
           convert_to(canonical, 'UTF8') as bytes, canonical::jsonb - 'timestamp' as said,
           (canonical::jsonb ->> 'timestamp')::timestamptz as stated,
           -- Not looked for but at the first row that is there.
           lag(id) over in_order is null and exists (
               select from {ledger}._migration_audit_log as archive
               where archive.action = 'audit.archived' and (archive.details ->> 'last_id')::bigint = log.id - 1
                 and archive.details ->> 'last_hash' = encode(log.prev_hash, 'hex')
           ) as archived
    from {ledger}._migration_audit_log as log
    window in_order as (order by id)
) as chained;
comment on view {ledger}._migration_audit_chain is
    'Where `problem` is null in each row, the chain holds as far as its last row: select * from _migration_audit_chain where problem is not null';
comment on table {ledger}._migration_audit_log is 'What was done, tried and decided; check it with `migrate-audit verify`.';
comment on column {ledger}._migration_audit_log.id is 'Gapless: a missing number is a removed row.';
comment on column {ledger}._migration_audit_log.canonical is 'The bytes that are hashed; the other columns are copies.';
comment on column {ledger}._migration_audit_log.hash is
    'sha256(''migrate-audit/v1'' || int8send(id) || prev_hash || int8send(octet_length(canonical)) || canonical)';

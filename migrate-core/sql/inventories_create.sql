-- The schema as it was at the end of each run. A text that was there before is not kept again.
create table if not exists {ledger}._migration_inventories (
    run_id             text        primary key,
    recorded_at        timestamptz not null default clock_timestamp(),
    server_version_num integer     not null default current_setting('server_version_num')::integer,
    objects            bigint      not null,
    sha256             text        not null,
    inventory          text
);
comment on table {ledger}._migration_inventories is 'The schema at the end of each run, for `migrate-check schema`; its hash is in the audit log, too.';
comment on column {ledger}._migration_inventories.inventory is 'A line of JSON an object; null where another row of the same sha256 has it.';

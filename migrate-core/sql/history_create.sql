-- The history: a row a run of a migration. Comments are what `\d+` shows.
create table if not exists {ledger}._migration_history (
    id           bigint      generated always as identity primary key,
    version      text        not null,
    name         text        not null,
    direction    text        not null check (direction in ('up', 'down')),
    checksum     text        not null,
    status       text        not null check (status in ('running', 'applied', 'failed', 'rolled_back')),
    applied_at   timestamptz not null default clock_timestamp(),
    finished_at  timestamptz,
    execution_ms bigint,
    estimate_ms  bigint,
    risk         text,
    applied_by   text        not null default session_user,
    run_id       text        not null,
    error        text
);
-- The second fence: a version cannot be applied twice, whatever else goes wrong.
create unique index if not exists _migration_history_once
    on {ledger}._migration_history (version)
    where direction = 'up' and status in ('running', 'applied');
comment on table {ledger}._migration_history is 'Runs of migrations, written by migrate-apply; change it with `migrate-apply resolve`, not by hand.';
comment on column {ledger}._migration_history.status is 'up: applied = in force, rolled_back = undone by a later down; running = began outside a transaction and has not ended.';
comment on column {ledger}._migration_history.checksum is 'sha256 over the text with LF line ends and no byte order mark.';

-- The journal of migrations that run outside a transaction: a row a statement.
create table if not exists {ledger}._migration_progress (
    history_id  bigint      not null references {ledger}._migration_history (id),
    statement   integer     not null,
    sha256      text        not null,
    command     text        not null,
    status      text        not null check (status in ('running', 'done')),
    before      jsonb,
    checkpoint  jsonb,
    rows        bigint,
    started_at  timestamptz not null default clock_timestamp(),
    finished_at timestamptz,
    primary key (history_id, statement)
);
comment on table {ledger}._migration_progress is 'Statement journal: where a migration without a transaction is resumed after a crash.';
comment on column {ledger}._migration_progress.before is 'What the catalog said before the statement, to tell its own left-overs from older objects.';
comment on column {ledger}._migration_progress.checkpoint is 'Of a batched change: how far it has come.';

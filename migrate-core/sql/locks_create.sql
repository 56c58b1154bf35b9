-- The lease: one row a lock name, whose rising token fences every change. Comments are what `\d+` shows.
create table if not exists {ledger}._migration_locks (
    lock_name         text        primary key,
    token             bigint      not null,
    owner             text        not null,
    host              text        not null,
    pid               integer     not null,
    backend_pid       integer,
    backend_start     timestamptz,
    reason            text,
    acquired_at       timestamptz not null default clock_timestamp(),
    renewed_at        timestamptz not null default clock_timestamp(),
    expires_at        timestamptz not null,
    system_identifier text        not null,
    timeline          integer     not null,
    -- Makes the token a key column: FOR KEY SHARE then lets the heartbeat through and holds a thief up.
    constraint _migration_locks_fence unique (lock_name, token)
);
create sequence if not exists {ledger}._migration_locks_token_seq;
comment on table {ledger}._migration_locks is 'Who may change this database now; see `migrate-lock status`, free with `migrate-lock break`.';
comment on column {ledger}._migration_locks.token is 'Fencing token: taken from a sequence, never used twice.';
comment on column {ledger}._migration_locks.backend_pid is 'Server process that the lease lives with; NULL for `migrate-lock acquire`, which lives until expires_at.';

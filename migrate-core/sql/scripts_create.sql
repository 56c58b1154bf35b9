-- The down SQL of each applied migration, so that `down` works where the file is gone.
create table if not exists {ledger}._migration_scripts (
    history_id    bigint  primary key references {ledger}._migration_history (id),
    file          text    not null,
    first_line    integer not null,
    transactional boolean not null,
    down_sql      text    not null,
    down_checksum text    not null
);
comment on table {ledger}._migration_scripts is 'Down SQL as it stood when the migration was applied; its hash is in the audit log.';

-- Whether the run $1 has ended migration $2 in direction $3: its row is in the transaction that did it.
select exists (
    select from {ledger}._migration_history
    where run_id = $1 and version = $2 and direction = $3 and status = 'applied'
)

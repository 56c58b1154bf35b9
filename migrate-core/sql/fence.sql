-- Holds the lease for this transaction, and fails with division_by_zero (22012) where token $2 of lock $1 is gone.
-- KEY SHARE: the heartbeat goes on, whoever wants to take or remove the row waits until this transaction ends.
select 1 / count(*)
from (
    select from {ledger}._migration_locks where lock_name = $1 and token = $2 for key share
) as lease

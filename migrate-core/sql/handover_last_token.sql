-- The highest token that was given out, or removed with a row by hand.
select greatest(s.last_value, (select coalesce(max(token), 0) from {ledger}._migration_locks)) as token
from {ledger}._migration_locks_token_seq as s

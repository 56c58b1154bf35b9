-- Lets the next token be above $1 and above all that were given out here; returns one of those.
select setval('{ledger:text}._migration_locks_token_seq', greatest($1::bigint, s.last_value)),
       nextval('{ledger:text}._migration_locks_token_seq') as token
from {ledger}._migration_locks_token_seq as s

-- The SQL that cuts the copy off from other servers: its foreign tables stay, but nobody reaches through them.
select format('alter foreign data wrapper %I no handler', fdwname) as sql
from pg_foreign_data_wrapper where fdwhandler <> 0

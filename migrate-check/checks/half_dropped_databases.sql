-- Databases that DROP DATABASE left half way.
-- group: integrity
-- pass: no database is half dropped
-- meaning: DROP DATABASE was interrupted. Its files may be gone, nobody can connect to it, and it can only be dropped.
-- hint: drop it
select quote_ident(datname) as object, 1::bigint as count, 'warn' as status, 'it is half dropped' as message,
       format('drop database %I', datname) as fix
from pg_database
where datconnlimit = -2
order by 1

-- Ends all sessions in the databases $1, apart from those of a role whose sessions we may not end.
select count(*) filter (where pg_terminate_backend(a.pid)) as ended
from pg_stat_activity as a
where a.datid = any ($1::oid[]) and a.pid <> pg_backend_pid()
  and (not coalesce((select r.rolsuper from pg_roles as r where r.oid = a.usesysid), false)
       or (select r.rolsuper from pg_roles as r where r.rolname = session_user))

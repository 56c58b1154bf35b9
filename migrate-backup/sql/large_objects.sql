-- How many large objects there are, and one that this role may not read.
select count(*) as count,
       min(lo.oid) filter (where not (
           me.rolsuper or current_setting('lo_compat_privileges')::boolean or pg_has_role(lo.lomowner, 'usage')
           or exists (select from aclexplode(lo.lomacl) as given
                      where given.privilege_type = 'SELECT'
                        and (given.grantee = 0 or pg_has_role(given.grantee, 'usage')))
       )) as unreadable
from pg_largeobject_metadata as lo, (select rolsuper from pg_roles where rolname = session_user) as me

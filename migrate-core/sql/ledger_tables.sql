-- The ledger's tables in schema $1, and whether each is what we made: an ordinary table of a trusted owner.
select c.relname::text as name, c.relkind::text as kind, c.relrowsecurity as row_security,
       pg_get_userbyid(c.relowner)::text as owner,
       (c.relowner = (select oid from pg_roles where rolname = current_user)
        or c.relowner = n.nspowner
        or c.relowner = (select datdba from pg_database where datname = current_database())
        or (select rolsuper from pg_roles where oid = c.relowner)
        or pg_has_role(current_user, c.relowner, 'member')) as trusted,
       exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal
               and t.tgname not in ('_migration_audit_append_only', '_migration_audit_archive_only')) as foreign_trigger,
       exists (select from pg_rewrite r where r.ev_class = c.oid and c.relkind = 'r') as has_rule,
       -- Without its columns no lease can be written; without the unique pair the fence does not hold an UPDATE up.
       c.relname = '_migration_locks' and not (
           array['lock_name', 'token', 'owner', 'host', 'pid', 'backend_pid', 'backend_start', 'reason', 'acquired_at',
                 'renewed_at', 'expires_at', 'system_identifier', 'timeline']::name[]
               <@ (select array_agg(a.attname) from pg_attribute a where a.attrelid = c.oid and not a.attisdropped)
           and exists (
               select from pg_index i
               where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null
                 and i.indnkeyatts = 2 and i.indexprs is null
                 and (select array_agg(a.attname order by a.attname)
                      from pg_attribute a where a.attrelid = c.oid and a.attnum = any (i.indkey::smallint[]))
                     = array['lock_name', 'token']::name[]
           )) as misshapen
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind not in ('i', 'I', 'S', 't')
  and c.relname in ('_migration_locks', '_migration_history', '_migration_scripts',
                    '_migration_progress', '_migration_audit_log', '_migration_inventories')

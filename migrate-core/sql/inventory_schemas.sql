-- Schemas, but for one that holds nothing but a ledger.
select 'schema' as kind, quote_ident(n.nspname) as name,
       jsonb_build_object('owner', pg_get_userbyid(n.nspowner)) as definition
from pg_namespace as n
where (n.oid >= 16384 or n.nspname = 'public') and n.nspname !~ '^pg_(toast_)?temp_'
  and n.oid not in (select objid from pg_depend
      where classid = 'pg_namespace'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
  and not (exists (select from pg_class c where c.relnamespace = n.oid and c.relname = '_migration_history')
           and n.nspname <> 'public'
           and not exists (select from pg_class c where c.relnamespace = n.oid and c.relname !~ '^_migration_')
           and not exists (select from pg_proc p where p.pronamespace = n.oid and p.proname !~ '^_migration_'))

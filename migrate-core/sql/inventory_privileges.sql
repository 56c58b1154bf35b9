-- Privileges where they are others than the owner has by default, by grantee; `*` means with grant option.
select 'privileges' as kind, o.kind || ' ' || o.name as name,
       jsonb_build_object('of', o.name, 'granted', now.granted) as definition
from (
    select case c.relkind when 'S' then 'sequence' when 'v' then 'view' when 'm' then 'materialized view'
                          when 'f' then 'foreign table' else 'table' end as kind,
           format('%I.%I', n.nspname, c.relname) as name, c.relowner as owner, c.relacl as acl,
           case c.relkind when 'S' then 's' else 'r' end::"char" as code
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relacl is not null and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
      and c.oid not in (select objid from pg_depend
          where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
    union all
    select 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), c.relowner, a.attacl, 'c'
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where a.attacl is not null and not a.attisdropped
      and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
      and c.oid not in (select objid from pg_depend
          where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
    union all
    select case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
           p.oid::regprocedure::text, p.proowner, p.proacl, 'f'
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where p.proacl is not null and p.oid >= 16384 and n.nspname !~ '^pg_temp_' and p.proname !~ '^_migration_'
      and p.oid not in (select objid from pg_depend
          where classid = 'pg_proc'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
    union all
    select 'schema', quote_ident(n.nspname), n.nspowner, n.nspacl, 'n'
    from pg_namespace n
    where n.nspacl is not null and (n.oid >= 16384 or n.nspname = 'public') and n.nspname !~ '^pg_(toast_)?temp_'
      and n.oid not in (select objid from pg_depend
          where classid = 'pg_namespace'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
    union all
    select case t.typtype when 'd' then 'domain' else 'type' end, format('%I.%I', n.nspname, t.typname),
           t.typowner, t.typacl, 'T'
    from pg_type t join pg_namespace n on n.oid = t.typnamespace
    where t.typacl is not null and t.oid >= 16384
      and t.oid not in (select objid from pg_depend
          where classid = 'pg_type'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
    union all
    select 'language', quote_ident(l.lanname), l.lanowner, l.lanacl, 'l'
    from pg_language l
    where l.lanacl is not null and (l.oid >= 16384 or l.lanname = 'plpgsql')
    union all
    select 'foreign data wrapper', quote_ident(w.fdwname), w.fdwowner, w.fdwacl, 'F'
    from pg_foreign_data_wrapper w where w.fdwacl is not null
    union all
    select 'server', quote_ident(s.srvname), s.srvowner, s.srvacl, 'S'
    from pg_foreign_server s where s.srvacl is not null
) as o
cross join lateral (
    select coalesce(jsonb_object_agg(grantee, privileges), '{}') as granted from (
        select grantee, string_agg(privilege, ', ' order by privilege) as privileges from (
            select case a.grantee when 0 then 'public' when o.owner then 'owner'
                                  else pg_get_userbyid(a.grantee) end as grantee,
                   lower(a.privilege_type) || case when bool_or(a.is_grantable) then '*' else '' end as privilege
            from aclexplode(o.acl) as a group by a.grantee, a.privilege_type) as each
        group by grantee) as grants
) as now
cross join lateral (
    select coalesce(jsonb_object_agg(grantee, privileges), '{}') as granted from (
        select grantee, string_agg(privilege, ', ' order by privilege) as privileges from (
            select case a.grantee when 0 then 'public' else 'owner' end as grantee, lower(a.privilege_type) as privilege
            from aclexplode(acldefault(o.code, o.owner)) as a) as each
        group by grantee) as grants
) as initial
where now.granted <> initial.granted

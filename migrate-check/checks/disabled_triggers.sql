-- Triggers and foreign keys that are switched off.
-- group: integrity preflight
-- pass: every trigger fires, and every foreign key is kept
-- meaning: ALTER TABLE … DISABLE TRIGGER was not undone, after a load of data for instance. A foreign key is kept by
--   triggers: switched off, it lets orphans pass. A role or database with session_replication_role = replica
--   does the same for all tables. A trigger of one's own that is off may be meant so, and is only warned of.
-- hint: switch it on again, then look for orphans
select format('%I.%I', n.nspname, c.relname) || ' ' || quote_ident(coalesce(k.conname, t.tgname)) as object, count(*) as count,
       case when t.tgisinternal then 'fail' else 'warn' end as status,
       case when k.contype = 'f' then 'the foreign key is not kept: its triggers are switched off'
            when t.tgisinternal then 'the constraint is not kept: its triggers are switched off'
            when t.tgenabled = 'R' then 'the trigger fires for replicated changes only'
            else 'the trigger is switched off' end as message,
       case when t.tgisinternal then format('alter table %I.%I enable trigger all', n.nspname, c.relname)
            else format('alter table %I.%I enable trigger %I', n.nspname, c.relname, min(t.tgname)) end as fix
from pg_trigger as t
join pg_class as c on c.oid = t.tgrelid
join pg_namespace as n on n.oid = c.relnamespace
left join pg_constraint as k on k.oid = t.tgconstraint
where t.tgenabled in ('D', 'R')
group by n.nspname, c.relname, coalesce(k.conname, t.tgname), t.tgisinternal, t.tgenabled, k.contype
union all
select coalesce('role ' || quote_ident(r.rolname), 'all roles') || coalesce(' in ' || quote_ident(d.datname), ''), 1, 'fail',
       'session_replication_role is set: neither triggers nor foreign keys work for it',
       case when r.rolname is null then format('alter database %I reset session_replication_role', d.datname)
            when d.datname is null then format('alter role %I reset session_replication_role', r.rolname)
            else format('alter role %I in database %I reset session_replication_role', r.rolname, d.datname) end
from pg_db_role_setting as s
left join pg_roles as r on r.oid = s.setrole
left join pg_database as d on d.oid = s.setdatabase
where exists (select from unnest(s.setconfig) as setting where setting = 'session_replication_role=replica')
  and (d.datname is null or d.datname = current_database())
order by 1, 4

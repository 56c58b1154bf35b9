-- What guards the log in schema $1: its shape, its keys, its triggers, and what else hangs on it.
select c.relkind::text as kind,
       (select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attname)
        from pg_attribute as a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) as columns,
       (select string_agg(k.keys, ', ' order by k.keys)
        from (select (select string_agg(a.attname, ' ') from pg_attribute as a
                      where a.attrelid = c.oid and a.attnum = any (i.indkey::smallint[])) as keys
              from pg_index as i
              where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null) as k) as keys,
       (select string_agg(t.tgname || ' ' || t.tgenabled::text || ' ' || t.tgtype || ' ' || (t.tgqual is not null), ', '
                          order by t.tgname)
        from pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal) as triggers,
       (select string_agg(distinct p.prosrc, '')
        from pg_trigger as t join pg_proc as p on p.oid = t.tgfoid
        where t.tgrelid = c.oid and not t.tgisinternal and t.tgname like '\_migration\_audit\_%') as refuses,
       c.relrowsecurity as row_security,
       exists (select from pg_rewrite as r where r.ev_class = c.oid) as has_rule
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = '_migration_audit_log'

-- Tables: ordinary, partitioned and foreign ones, with all of them that is no column, constraint or index.
select case c.relkind when 'f' then 'foreign table' else 'table' end as kind,
       format('%I.%I', n.nspname, c.relname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.relowner),
           'unlogged', nullif(c.relpersistence = 'u', false),
           'of_type', case when c.reloftype <> 0 then format_type(c.reloftype, null) end,
           'partition_by', pg_get_partkeydef(c.oid),
           case when c.relispartition then 'partition_of' else 'inherits' end,
               case when c.relhassubclass or c.relispartition or i.inhrelid is not null then i.parents end,
           'bound', pg_get_expr(c.relpartbound, c.oid),
           'access_method', (select a.amname from pg_am a where a.oid = c.relam and a.amname <> 'heap'),
           'tablespace', (select s.spcname from pg_tablespace s where s.oid = c.reltablespace),
           'options', (select jsonb_agg(o order by o collate "C") from unnest(c.reloptions) as o),
           'toast_options', (select (select jsonb_agg(o order by o collate "C") from unnest(t.reloptions) as o)
                             from pg_class t where t.oid = c.reltoastrelid),
           'replica_identity', case c.relreplident
               when 'n' then 'nothing' when 'f' then 'full'
               when 'i' then coalesce('index ' || (select x.indexrelid::regclass from pg_index x
                                                   where x.indrelid = c.oid and x.indisreplident), 'an index that is gone')
           end,
           'row_security', case when c.relkind <> 'f' and c.relrowsecurity then 'enabled' end,
           'row_security_of_owner', case when c.relforcerowsecurity then 'forced' end,
           'server', (select s.srvname from pg_foreign_table f join pg_foreign_server s on s.oid = f.ftserver
                      where f.ftrelid = c.oid),
           'foreign_options', (select jsonb_agg(case when o ~* '^[^=]*(pass|secret|token|credential|key)'
                                                     then split_part(o, '=', 1) || '=(hidden)' else o end
                                                order by o collate "C")
                               from pg_foreign_table f, unnest(f.ftoptions) as o where f.ftrelid = c.oid)
       )) as definition
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
left join (select inhrelid, jsonb_agg(inhparent::regclass::text order by inhseqno) as parents
           from pg_inherits group by inhrelid) as i on i.inhrelid = c.oid
where c.relkind in ('r', 'p', 'f') and c.oid >= 16384 and c.relpersistence <> 't' and c.relname !~ '^_migration_'
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_class'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

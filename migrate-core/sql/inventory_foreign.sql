-- Foreign data wrappers, servers and user mappings, without the values of what may be secret.
select 'foreign data wrapper' as kind, quote_ident(w.fdwname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(w.fdwowner),
           'handler', case when w.fdwhandler <> 0 then w.fdwhandler::regproc::text end,
           'validator', case when w.fdwvalidator <> 0 then w.fdwvalidator::regproc::text end,
           'options', (select jsonb_agg(case when o ~* '^[^=]*(pass|secret|token|credential|key)'
                                             then split_part(o, '=', 1) || '=(hidden)' else o end
                                        order by o collate "C") from unnest(w.fdwoptions) as o)
       )) as definition
from pg_foreign_data_wrapper as w
where w.oid >= 16384
  and w.oid not in (select objid from pg_depend
      where classid = 'pg_foreign_data_wrapper'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
union all
select 'server', quote_ident(s.srvname),
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(s.srvowner), 'type', s.srvtype, 'version', s.srvversion, 'wrapper', w.fdwname,
           'options', (select jsonb_agg(case when o ~* '^[^=]*(pass|secret|token|credential|key)'
                                             then split_part(o, '=', 1) || '=(hidden)' else o end
                                        order by o collate "C") from unnest(s.srvoptions) as o)))
from pg_foreign_server as s
join pg_foreign_data_wrapper as w on w.oid = s.srvfdw
where s.oid not in (select objid from pg_depend
    where classid = 'pg_foreign_server'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
union all
-- Its options are for those who may use it.
select 'user mapping', format('for %I server %I', m.usename, m.srvname), '{}'
from pg_user_mappings as m

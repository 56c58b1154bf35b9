-- Text search: configurations with what they do to each kind of token, dictionaries, parsers and templates.
select 'text search configuration' as kind, format('%I.%I', n.nspname, c.cfgname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.cfgowner),
           'parser', (select format('%I.%I', s.nspname, p.prsname)
                      from pg_ts_parser p join pg_namespace s on s.oid = p.prsnamespace where p.oid = c.cfgparser),
           'mappings', (select jsonb_object_agg(token, dictionaries) from (
               select m.maptokentype as token,
                      string_agg(m.mapdict::regdictionary::text, ', ' order by m.mapseqno) as dictionaries
               from pg_ts_config_map m where m.mapcfg = c.oid group by m.maptokentype) as mapping)
       )) as definition
from pg_ts_config as c
join pg_namespace as n on n.oid = c.cfgnamespace
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_ts_config'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
union all
select 'text search dictionary', format('%I.%I', n.nspname, c.dictname),
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(c.dictowner), 'options', c.dictinitoption,
           'template', (select format('%I.%I', s.nspname, t.tmplname)
                        from pg_ts_template t join pg_namespace s on s.oid = t.tmplnamespace where t.oid = c.dicttemplate)))
from pg_ts_dict as c
join pg_namespace as n on n.oid = c.dictnamespace
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_ts_dict'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
union all
select 'text search parser', format('%I.%I', n.nspname, c.prsname),
       jsonb_build_object('functions', concat_ws(', ', c.prsstart, c.prstoken, c.prsend, c.prslextype, c.prsheadline))
from pg_ts_parser as c
join pg_namespace as n on n.oid = c.prsnamespace
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_ts_parser'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')
union all
select 'text search template', format('%I.%I', n.nspname, c.tmplname),
       jsonb_build_object('functions', concat_ws(', ', c.tmplinit, c.tmpllexize))
from pg_ts_template as c
join pg_namespace as n on n.oid = c.tmplnamespace
where c.oid >= 16384
  and c.oid not in (select objid from pg_depend
      where classid = 'pg_ts_template'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

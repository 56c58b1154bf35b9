-- Event triggers, and whether they fire.
select 'event trigger' as kind, quote_ident(e.evtname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(e.evtowner), 'event', e.evtevent, 'function', e.evtfoid::regproc::text,
           'tags', (select jsonb_agg(t order by t collate "C") from unnest(e.evttags) as t),
           'fires', case e.evtenabled when 'D' then 'never: disabled' when 'R' then 'on replicas' when 'A' then 'always' end
       )) as definition
from pg_event_trigger as e
where e.oid >= 16384
  and e.oid not in (select objid from pg_depend
      where classid = 'pg_event_trigger'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

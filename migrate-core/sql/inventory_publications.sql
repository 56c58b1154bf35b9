-- Publications with their tables and schemas. Subscriptions are left out: no copy has them.
select 'publication' as kind, quote_ident(p.pubname) as name,
       jsonb_strip_nulls(jsonb_build_object(
           'owner', pg_get_userbyid(p.pubowner),
           'all_tables', nullif(p.puballtables, false),
           'publishes', concat_ws(', ', case when p.pubinsert then 'insert' end, case when p.pubupdate then 'update' end,
                                  case when p.pubdelete then 'delete' end, case when p.pubtruncate then 'truncate' end),
           'tables', (select jsonb_agg(r.prrelid::regclass::text
                          || coalesce(' (' || (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) -- since 15
                                               from pg_attribute a -- since 15
                                               where a.attrelid = r.prrelid and a.attnum = any (r.prattrs)) || ')', '') -- since 15
                          || coalesce(' where ' || pg_get_expr(r.prqual, r.prrelid), '') -- since 15
                          order by r.prrelid::regclass::text collate "C")
                      from pg_publication_rel r where r.prpubid = p.oid),
           'schemas', (select jsonb_agg(s.pnnspid::regnamespace::text order by s.pnnspid::regnamespace::text collate "C") -- since 15
                       from pg_publication_namespace s where s.pnpubid = p.oid), -- since 15
           'generated_columns', nullif(to_jsonb(p) ->> 'pubgencols', 'n'),
           'via_root', nullif((to_jsonb(p) ->> 'pubviaroot')::boolean, false)
       )) as definition
from pg_publication as p
where p.oid >= 16384
  and p.oid not in (select objid from pg_depend
      where classid = 'pg_publication'::regclass and refclassid = 'pg_extension'::regclass and deptype = 'e')

-- Extensions with their version; what belongs to one is left to it.
select 'extension' as kind, quote_ident(e.extname) as name,
       jsonb_build_object('version', e.extversion, 'schema', n.nspname, 'owner', pg_get_userbyid(e.extowner)) as definition
from pg_extension as e
join pg_namespace as n on n.oid = e.extnamespace
where e.oid >= 16384 or e.extname = 'plpgsql'

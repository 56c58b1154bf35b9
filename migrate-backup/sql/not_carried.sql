-- What a dump cannot carry, or carries as a danger: one text each.
select format('subscription "%s" is left out: a copy would attach to the same slot of its publisher', subname) as said
from pg_subscription
where subdbid = (select oid from pg_database where datname = current_database())
union
select format('replication slot "%s" stays with the database that it was made in', slot_name)
from pg_replication_slots where database = current_database()
union
select format('prepared transaction "%s" is not in the backup', gid)
from pg_prepared_xacts where database = current_database()
union
select format('the dump holds the options of the user mapping of "%s" for server "%s", perhaps a password', usename, srvname)
from pg_user_mappings where umoptions is not null
union
select format('rows of table %I.%I are not in the backup: extension "%s" does not mark it as configuration',
              n.nspname, c.relname, e.extname)
from pg_extension as e
join pg_depend as d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
                   and d.classid = 'pg_class'::regclass
join pg_class as c on c.oid = d.objid and c.relkind = 'r'
join pg_namespace as n on n.oid = c.relnamespace
where not coalesce(c.oid = any (e.extconfig), false) and c.reltuples <> 0
order by 1

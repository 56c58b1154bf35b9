-- What belongs to the database as a whole; columns that not every version has are looked up by name.
select pg_get_userbyid(d.datdba)::text as owner, pg_encoding_to_char(d.encoding)::text as encoding,
       d.datcollate::text as collate, d.datctype::text as ctype,
       case to_jsonb(d) ->> 'datlocprovider' when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end as locale_provider,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
       to_jsonb(d) ->> 'daticurules' as icu_rules,
       to_jsonb(d) ->> 'datcollversion' as collation_version,
       d.datconnlimit as connection_limit, t.spcname::text as tablespace,
       shobj_description(d.oid, 'pg_database') as comment, d.datacl::text[] as acl,
       pg_database_size(d.oid) as bytes
from pg_database as d
join pg_tablespace as t on t.oid = d.dattablespace
where d.datname = current_database()

-- What the server lacks of $1 roles, $2 extensions, $3 tablespaces; and of the extensions those of another version than in $4.
select array(select name from unnest($1::text[]) as name
             where name not in (select rolname from pg_roles) order by 1) as roles,
       array(select name from unnest($2::text[]) as name
             where name not in (select available.name from pg_available_extensions as available) order by 1) as extensions,
       array(select name from unnest($3::text[]) as name
             where name not in (select spcname from pg_tablespace) order by 1) as tablespaces,
       array(select format('%s %s (here %s)', wanted.name, wanted.version, available.default_version)
             from unnest($2::text[], $4::text[]) as wanted (name, version)
             join pg_available_extensions as available on available.name = wanted.name
             where available.default_version <> wanted.version order by 1) as other_versions

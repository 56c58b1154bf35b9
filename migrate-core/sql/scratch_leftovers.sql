-- Scratch databases whose names begin with $1 and that this role may drop.
select datname::text as name from pg_database
where starts_with(datname::text, $1::text) and pg_has_role(session_user, datdba, 'member')
order by datname

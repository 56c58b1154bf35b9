-- migrate:up
create function crlf() returns text language sql as $$
  select 'a;
b'
$$;
create table windows (a text); -- why
insert into windows values ('x
y'), (crlf());
copy windows from stdin;
one
two
\.
insert into windows values ('last')
-- migrate:down
drop table windows;
drop function crlf()

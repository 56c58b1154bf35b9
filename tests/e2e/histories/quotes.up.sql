alter type mood add value 'glad';
create table quoted (n int, t text);
insert into quoted values (1, 'a;b'), (2, E'a\';b'), (3, $$a;'b$$), (4, $é$a;$$;b$é$);
insert into quoted values (5, U&'d\0061t\+000061;' ), (6, U&'d!0061;' uescape '!'), (7, B'101'::text), (8, X'1F'::text);
insert into quoted values (9, 'over'
  ' lines;'), (10, E'first\'' -- a comment; in between
  'second;'), (11, N'n;');
/* one /* two; */ ' */ insert into quoted select 12, 'a' || 1 --; not the end
  ;
insert into quoted values (13, 'C:\dir\'), (14, 'x');
set standard_conforming_strings = off;
set escape_string_warning = off;
insert into quoted values (15, 'it\'s; escaped'), (16, $$\'$$);
reset standard_conforming_strings;
insert into quoted values (17, 'C:\');
create table q2 as select 1 as a$b$c, 2 as "$$;", 5 - -3 as minus, 7 as "a""b;";
create operator @-> (leftarg = int, rightarg = int, function = int4pl);
insert into quoted select 18, (1 @-> 2)::text;

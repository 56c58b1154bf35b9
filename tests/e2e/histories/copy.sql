-- migrate:up
create table rows (id int, t text, u text);
copy rows from stdin;
1	a;b	\N
2	$$ ' -- /*	\\.
3	\tx	
\.

COPY rows (id, t) FROM stdin WITH (FORMAT csv, HEADER); -- with a comment
id,t
4,"a;
b"
5," it's; \"
\.
copy rows from stdin (delimiter '|');
\.
insert into rows values (6, 'after; copy', null);
copy (select * from rows) to stdout;
-- migrate:down
drop table rows;

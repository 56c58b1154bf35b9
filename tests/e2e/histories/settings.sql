-- migrate:up
-- What a script sets is over when it ends.
create schema elsewhere;
set search_path = elsewhere, public;
create table t_elsewhere_or_not (id int, at timestamptz default '2026-03-10 12:00:00');
set timezone = 'Asia/Tokyo'; set datestyle = 'SQL, DMY'; set intervalstyle = 'sql_standard';
insert into t_elsewhere_or_not values (1, '01/02/2026 00:00');
create temporary table scratch (a int) on commit preserve rows;
insert into t_elsewhere_or_not select count(*), '03/04/2026' from scratch;
prepare q as insert into t_elsewhere_or_not values ($1); execute q (3);
declare c cursor with hold for select 1;
listen something;
create table parent (id int primary key);
create table child (id int references parent deferrable initially immediate);
set constraints all deferred;
insert into child values (1);
insert into parent values (1);
savepoint a; insert into parent values (2); rollback to a; release a;
set local role pg_monitor;
set role pg_read_all_data;
deallocate all;
select set_config('search_path', '', false);
-- migrate:down
drop schema elsewhere cascade

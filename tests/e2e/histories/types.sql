-- migrate:up
-- Names that look like something else, an enum that grows, values that need care.
create schema "semi;colon";
create table "semi;colon"."begin" ("end" int primary key, "do $$" text, "--x" text default '--;', "/*" text default E'\';\\');
comment on table "semi;colon"."begin" is $$ends; here $1$ or $$;
create type mood as enum ('sad', 'it''s; ok');
create domain positive as int check (value > 0);
create table people (id int generated always as identity, mood mood, score positive);
insert into people (mood, score) values ('it''s; ok', 1), ('sad', 2)
-- migrate:down
drop table people;
drop domain positive; drop type mood;
drop schema "semi;colon" cascade -- and what is in it

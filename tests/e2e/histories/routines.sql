-- migrate:up
insert into people (mood, score) values ('glad', 3);
create function one() returns int language sql begin atomic; select 1; select case when true then 2 else 3 end; end;
create or replace procedure two(a int, "begin" int default 1) language sql
begin atomic
  insert into quoted values (a, 'from two; case');
  update quoted set t = case n when 1 then 'one;' else t end where n = a;
end;
create function three(returns text) returns text language plpgsql as $body$
declare x text := $q$ ; $body $ $q$;
begin
  if returns is null then return 'begin; end;'; end if;
  return x || 'commit;';
end
$body$;
create function "create function begin"() returns trigger language plpgsql as 'begin new.t := new.t || ''; ''''t''''''; return new; end';
create trigger t before insert on quoted for each row execute function "create function begin"();
create rule r as on insert to people do also (insert into quoted values (20, 'by rule'); insert into quoted values (21, 'twice'));
insert into people (mood) values ('sad');
do $$ begin insert into people (score) values (-1); exception when check_violation then raise notice 'as expected; %', sqlerrm; end $$;
call two(22);
create view v as select p.id, (select count(*) from quoted where t like '%;%') as n from people as p;
create materialized view m as select id from v with no data;
create or replace function one() returns int language sql begin atomic; select 4; end;
-- migrate:down
drop materialized view m;
drop view v; drop rule r on people;
drop trigger t on quoted;
drop function "create function begin"(); drop function one; drop procedure two; drop function three(text);

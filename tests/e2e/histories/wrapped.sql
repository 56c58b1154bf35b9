-- migrate:up
-- As some tools want it.
BEGIN;
create table wrapped (id int);
insert into wrapped values (1);
COMMIT;
-- The end.
-- migrate:down
start transaction;
drop table wrapped;
end work

-- migrate:up transaction:false
create unique index concurrently if not exists people_id on people (id);
insert into quoted values (30, 'between');
create index concurrently on quoted (lower(t)) where n > 3;
begin; insert into quoted values (31, 'x'); commit;
vacuum (analyze) people;
reindex index concurrently people_id;
alter type mood add value if not exists 'angry';
insert into people (mood, score) values ('angry', 9);
-- migrate:down transaction:false
drop index concurrently people_id;
drop index concurrently quoted_lower_idx;

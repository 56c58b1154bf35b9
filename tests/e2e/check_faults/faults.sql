-- an orphan behind a disabled trigger
-- found: disabled_triggers public.orders orders_user_id_fkey
-- found: orphans public.orders orders_user_id_fkey
alter table orders disable trigger all;
insert into orders (user_id) values (999);
alter table orders enable trigger stamped;

-- an orphan that came while replication's role was on
-- found: orphans public.orders orders_user_id_fkey
set session_replication_role = replica;
insert into orders (user_id) values (999);

-- an orphan in a table that refers to itself
-- found: orphans public.users users_invited_by_fkey
set session_replication_role = replica;
update users set invited_by = 999 where id = 5;

-- a composite key of other types whose row is gone
-- found: orphans public.shops shops_country_code_fkey
set session_replication_role = replica;
delete from regions where country = 'at';

-- a MATCH FULL key that is half null
-- found: orphans public.shops shops_country_code_fkey
set session_replication_role = replica;
update shops set code = null where country = 'at';

-- an orphan in one partition
-- found: orphans public.events events_user_id_fkey
set session_replication_role = replica;
insert into events values (9, 999, '2026-07-01');

-- an orphan under names with quotes and line ends
-- found: orphans "odd ""schema"" name"."line\nfeed" "fk ""x"""
set session_replication_role = replica;
update "odd ""schema"" name"."line
feed" set "user's" = 999 where id = 1;

-- a foreign key that is NOT VALID, without an orphan
-- found: not_valid_constraints public.tickets tickets_id_fkey
alter table tickets add foreign key (id) references users not valid;

-- a foreign key that is NOT VALID, with an orphan
-- found: not_valid_constraints public.regions regions_code_fkey
-- found: orphans public.regions regions_code_fkey
insert into regions values ('xx', 77);
alter table regions add foreign key (code) references tickets not valid;

-- a check constraint that is NOT VALID
-- found: not_valid_constraints public.orders positive
alter table orders add constraint positive check (total > 5) not valid;

-- an index whose build failed
-- found: invalid_indexes public.orders_total
insert into orders (user_id, total) values (1, 7), (2, 7);
create unique index concurrently orders_total on orders (total) -- fails

-- an index that is not kept up to date
-- found: invalid_indexes public.orders_status
update pg_index set indisready = false, indisvalid = false where indexrelid = 'orders_status'::regclass;

-- an index that was half dropped
-- found: invalid_indexes public.orders_status
update pg_index set indislive = false, indisready = false, indisvalid = false where indexrelid = 'orders_status'::regclass;

-- what an interrupted REINDEX CONCURRENTLY left
-- found: invalid_indexes public.orders_status_ccnew
create index orders_status_ccnew on orders (status);
update pg_index set indisvalid = false where indexrelid = 'orders_status_ccnew'::regclass;

-- an index of a partitioned table that lacks a part
-- found: invalid_indexes public.events_at
create index events_at on only events (at);

-- a unique index that does not know a row
-- found: duplicate_keys public.users_email_key
-- found: broken_btrees public.users_email_key
update pg_index set indisready = false where indexrelid = 'users_email_key'::regclass;
insert into users (email) values ('7@example.com');
update pg_index set indisready = true where indexrelid = 'users_email_key'::regclass;

-- a partial unique index that does not know a row
-- found: duplicate_keys public.orders_paid_once
-- found: broken_btrees public.orders_paid_once
update pg_index set indisready = false where indexrelid = 'orders_paid_once'::regclass;
insert into orders (user_id, status) values (2, 'paid');
update pg_index set indisready = true where indexrelid = 'orders_paid_once'::regclass;

-- a primary key whose index does not know a row
-- found: duplicate_keys public.regions_pkey
-- found: broken_btrees public.regions_pkey
update pg_index set indisready = false where indexrelid = 'regions_pkey'::regclass;
insert into regions values ('de', 1);
update pg_index set indisready = true where indexrelid = 'regions_pkey'::regclass;

-- an index whose function answers otherwise than it used to
-- found: broken_btrees public.orders_flipped
create function flip(bigint) returns bigint language sql immutable as 'select $1';
create index orders_flipped on orders (flip(id));
create or replace function flip(bigint) returns bigint language sql immutable as 'select -$1';

-- an identity column whose sequence is behind
-- found: sequences_behind public.users.id public.users_id_seq
insert into users (id, email) overriding system value values (60, 'sixty');

-- a serial column whose sequence was set back
-- found: sequences_behind public.orders.id public.orders_id_seq
select setval('orders_id_seq', 3);

-- a sequence that was reset to its start and has not been called
-- found: sequences_behind public.shops.id public.shops_id_seq
alter sequence shops_id_seq restart;

-- a sequence that only a default names
-- found: sequences_behind public.tickets.id public.ticket_numbers
insert into tickets values (1000, 'imported');

-- a sequence that counts down
-- found: sequences_behind public.countdown.id public.countdown_id_seq
create table countdown (id integer generated by default as identity (increment -1 minvalue -1000 start -1) primary key);
insert into countdown values (-1), (-5);

-- an integer column near its end, under a sequence that has no end
-- found: sequences_near_their_end public.ticket_numbers
select setval('ticket_numbers', 2000000000);

-- a sequence near an end of its own
-- found: sequences_near_their_end public.hundred
create sequence hundred maxvalue 100;
select setval('hundred', 80);

-- a table without a primary key
-- found: missing_primary_keys public.log
create table log (line text);

-- a collation that has changed
-- found: collation_versions public.german
create collation german (provider = icu, locale = 'de');
create table words (word text collate german primary key);
update pg_collation set collversion = '1.0' where collname = 'german';

-- a database whose collation has changed
-- found: collation_versions {database}
update pg_database set datcollversion = '1.0' where datname = current_database();

-- a partition that is half detached
-- found: half_detached_partitions public.events_2025
update pg_inherits set inhdetachpending = true where inhrelid = 'events_2025'::regclass;

-- a trigger that is switched off
-- found: disabled_triggers public.orders stamped
alter table orders disable trigger stamped;

-- a trigger that fires for replicated changes only
-- found: disabled_triggers public.orders stamped
alter table orders enable replica trigger stamped;

-- a referenced table whose triggers are switched off
-- found: disabled_triggers public.regions shops_country_code_fkey
alter table regions disable trigger all;

-- a role for which no trigger fires
-- found: disabled_triggers role postgres in {database}
do $$ begin execute format('alter role postgres in database %I set session_replication_role = replica', current_database()); end $$;

-- a materialized view without its rows
-- found: unpopulated_views public.totals
refresh materialized view totals with no data;

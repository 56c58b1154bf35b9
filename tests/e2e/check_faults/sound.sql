create extension amcheck;
create schema "odd ""schema"" name";
create table users (
    id bigint generated always as identity primary key,
    email text not null unique,
    invited_by bigint references users
);
create table orders (
    id bigserial primary key,
    user_id bigint references users on delete cascade,
    status varchar(20) not null default 'new' check (status in ('new', 'paid')),
    total numeric(10, 2)
);
create index orders_status on orders (status);
create unique index orders_paid_once on orders (user_id) where status = 'paid';
create table regions (country text, code integer, primary key (country, code));
create table shops (
    id serial primary key,
    country varchar(2),
    code smallint,
    foreign key (country, code) references regions match full
);
create table "odd ""schema"" name"."line
feed" (id integer primary key, "user's" bigint constraint "fk ""x""" references users);
create table events (id bigint, user_id bigint references users, at date not null, primary key (id, at)) partition by range (at);
create table events_2025 partition of events for values from ('2025-01-01') to ('2026-01-01');
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
create index events_user on events (user_id);
create sequence ticket_numbers;
create table tickets (id integer primary key default nextval('ticket_numbers'), title text);
create materialized view totals as select user_id, sum(total) as total from orders group by user_id;
create function stamp() returns trigger language plpgsql as 'begin return new; end';
create trigger stamped before insert on orders for each row execute function stamp();
insert into users (email) select n || '@example.com' from generate_series(1, 50) as n;
update users set invited_by = id - 1 where id > 1;
insert into orders (user_id, status, total) select n, case n % 2 when 0 then 'paid' else 'new' end, n from generate_series(1, 50) as n;
insert into orders (user_id) values (null);
insert into regions values ('at', 1), ('de', 1);
insert into shops (country, code) values ('at', 1), (null, null);
insert into "odd ""schema"" name"."line
feed" values (1, 1), (2, null);
insert into events values (1, 1, '2025-06-01'), (2, 2, '2026-06-01'), (3, null, '2026-06-02');
insert into tickets (title) values ('a'), ('b');

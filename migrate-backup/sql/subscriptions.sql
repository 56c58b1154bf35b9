-- Subscriptions of this database: they are left out, as a copy would attach to the same slot of the publisher.
select subname::text as name
from pg_subscription
where subdbid = (select oid from pg_database where datname = current_database())
order by 1

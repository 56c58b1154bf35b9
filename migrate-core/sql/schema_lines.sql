-- All objects that the inventory_….sql files tell of, in place of the empty query: each a line of JSON.
select kind collate "C" as kind, name collate "C" as name,
       jsonb_build_object('kind', kind, 'name', name, 'definition', definition)::text || E'\n' as line
from (select '' as kind, '' as name, '{}'::jsonb as definition where false) as objects

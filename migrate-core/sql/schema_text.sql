-- The schema as one text, out of the lines that stand in place of the empty query.
select coalesce(string_agg(line, '' order by kind, name), '') as text
from (select '' as kind, '' as name, '' as line where false) as lines

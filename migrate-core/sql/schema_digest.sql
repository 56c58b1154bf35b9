-- What tells whether the schema is another one, without carrying it over.
select encode(sha256(convert_to(coalesce(string_agg(line, '' order by kind, name), ''), 'UTF8')), 'hex') as sha256,
       count(*) as objects
from (select '' as kind, '' as name, '' as line where false) as lines

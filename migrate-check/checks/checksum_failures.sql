-- Pages whose checksum was wrong when the server read them.
-- group: integrity health
-- pass: no page was read with a wrong checksum since the statistics began
-- meaning: The disk, the controller, memory or another program changed pages behind the server's back. Only pages
--   that were read are counted: there may be more.
-- hint: find out which files (the server's log names them), distrust the disk, restore from a verified backup
select case when datname is null then 'objects that all databases share' else quote_ident(datname) end as object,
       checksum_failures as count,
       case when checksum_failures is null then 'skip' else 'fail' end as status,
       case when checksum_failures is null then 'not_applicable' end as reason,
       case when checksum_failures is null then 'the server has no data checksums'
            else format('pages with a wrong checksum: %s, the last at %s', checksum_failures,
                        to_char(checksum_last_failure at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')) end as message
from pg_stat_database
where checksum_failures > 0 and (datname = current_database() or datname is null)
   or checksum_failures is null and datname = current_database()
order by 1

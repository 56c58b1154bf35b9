//! What a database must look like at the end, whatever happened on the way.

use std::process::Command;

use crate::World;

/// Each row of it is something wrong with the ledger in schema `{ledger}`.
const UNSOUND: &str = "
select 'applied more than once: ' || version
from {ledger}._migration_history
where direction = 'up' and status = 'applied'
group by version having count(*) > 1
union all
select 'not ended: ' || version from {ledger}._migration_history where status = 'running'
union all
select 'a broken chain at ' || id
from (
    select id, prev_hash, hash, row_number() over (order by id) as number,
           lag(hash) over (order by id) as before, convert_to(canonical, 'UTF8') as bytes
    from {ledger}._migration_audit_log
) as log
where id <> number
   or prev_hash <> coalesce(before, decode(repeat('00', 32), 'hex'))
   or hash <> sha256('migrate-audit/v1'::bytea || int8send(id) || prev_hash
                     || int8send(octet_length(bytes)::bigint) || bytes)
union all
select 'a lease: ' || token from {ledger}._migration_locks
union all
select 'an advisory lock of process ' || pid
from pg_locks as l
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())";

impl World {
    /// Every version once, an unbroken audit log, and no lock left.
    #[track_caller]
    pub fn assert_sound(&self) {
        let schema = self.query(
            "select n.nspname from pg_class c join pg_namespace n on n.oid = relnamespace
             where relname = '_migration_history'",
        );
        // The server may take a moment to notice that a session is gone.
        self.wait_for(
            "not exists (select from pg_stat_activity
                         where application_name like 'migrate-%' and datname = current_database())",
        );
        let rows = self.client().query(&UNSOUND.replace("{ledger}", &schema), &[]).unwrap();
        let unsound: Vec<String> = rows.iter().map(|it| it.get(0)).collect();
        assert!(unsound.is_empty(), "{unsound:?}");
    }

    /// Schema and data without what stands in the schema `ledger`.
    #[track_caller]
    pub fn dump(&self) -> String {
        let text = self.pg_dump();
        // The key of `\restrict` is another one each time.
        text.split_inclusive('\n').filter(|it| !it.contains("restrict ")).collect()
    }

    /// The same, as a file to run.
    #[track_caller]
    pub fn pg_dump(&self) -> String {
        let output =
            Command::new("pg_dump").args(["-N", "ledger", "-d", self.url()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

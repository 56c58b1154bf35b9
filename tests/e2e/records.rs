//! Every line that a tool prints is one of the records in docs/, and fits its schema.

use std::{collections::BTreeMap, fs};

use jsonschema::Validator;
use migrate_core::{
    exit::Exit,
    record::{Line, schema},
};
use migrate_tests::{Outcome, World, source, stored::Stored};
use serde_json::Value;

const EXAMPLES: &str = "docs/records.jsonl";
const SCHEMA: &str = "docs/records.schema.json";

/// `UPDATE=1 cargo test` writes the file anew.
#[test]
fn the_schema_is_up_to_date() {
    let now = serde_json::to_string_pretty(&schema::of_all()).unwrap() + "\n";
    update(SCHEMA, &now);
    assert_eq!(source::read(SCHEMA), now, "run UPDATE=1 tests/run");
}

#[test]
fn every_type_of_record_has_an_example_that_reads_and_writes_unchanged() {
    let all = Validator::new(&schema::of_all()).unwrap();
    let mut types = Vec::new();
    for line in source::read(EXAMPLES).lines() {
        let parsed: Line = serde_json::from_str(line).unwrap_or_else(|err| panic!("{err}: {line}"));
        assert_eq!(serde_json::to_string(&parsed).unwrap(), line);
        let value: Value = serde_json::from_str(line).unwrap();
        assert_valid(&all, &value);
        types.push(value["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(types, all_types());
}

#[test]
fn the_schema_refuses_what_is_no_record() {
    let all = Validator::new(&schema::of_all()).unwrap();
    for line in source::read(EXAMPLES).lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        for field in ["v", "at", "tool", "type"] {
            let mut without = record.clone();
            without.as_object_mut().unwrap().shift_remove(field);
            assert!(!all.is_valid(&without), "{field} may lack: {line}");
        }
        let own = required(record["type"].as_str().unwrap());
        assert!(!own.is_empty(), "{line}");
        for field in own {
            let mut without = record.clone();
            without.as_object_mut().unwrap().shift_remove(&field);
            assert!(!all.is_valid(&without), "{field} may lack: {line}");
        }
        let mut other = record.clone();
        other["type"] = "no.such".into();
        assert!(!all.is_valid(&other), "{line}");
    }
}

/// Runs of the tools, all of whose lines are checked; with `UPDATE=1` they become the examples.
#[test]
fn every_line_of_a_real_run_is_valid() {
    let mut seen = Seen::default();
    runs_of_apply(&mut seen);
    dry_runs(&mut seen);
    runs_that_fail(&mut seen);
    runs_of_lock(&mut seen);
    runs_of_check(&mut seen);
    runs_of_a_store(&mut seen);
    runs_of_backup(&mut seen);
    runs_of_audit(&mut seen);
    let order = all_types();
    let position = |line: &&String| {
        let value: Value = serde_json::from_str(line).unwrap();
        order.iter().position(|it| value["type"] == **it)
    };
    let mut lines: Vec<&String> = seen.first_of_type.values().collect();
    lines.sort_by_key(position);
    let text: String = lines.into_iter().map(|it| format!("{it}\n")).collect();
    update(EXAMPLES, &text);
    let missing: Vec<&String> =
        order.iter().filter(|it| !seen.first_of_type.contains_key(*it)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "no run printed these");
}

/// The lines of runs, each checked against the schema of the tool that printed it.
#[derive(Default)]
struct Seen {
    schemas: BTreeMap<String, Validator>,
    first_of_type: BTreeMap<String, String>,
}

impl Seen {
    #[track_caller]
    fn take(&mut self, world: &World, outcome: &Outcome) {
        assert!(!outcome.stdout.is_empty(), "{outcome}");
        for line in outcome.stdout.lines() {
            self.line(world, line);
        }
    }

    /// What stands in the audit log is a record, too.
    #[track_caller]
    fn audited(&mut self, world: &World) {
        let canonical = "select (canonical::json -> 'details')::text from _migration_audit_log";
        for row in world.client().query(canonical, &[]).unwrap() {
            self.line(world, row.get(0));
        }
    }

    #[track_caller]
    fn line(&mut self, world: &World, line: &str) {
        let value: Value = serde_json::from_str(line).unwrap();
        let tool = value["tool"].as_str().unwrap();
        let schema = self.schemas.entry(tool.to_owned()).or_insert_with(|| {
            // Whose schema `migrate-check schema` means is the database's.
            let command = if tool == "migrate-check" { "schema records" } else { "schema" };
            let printed = world.run(&format!("{tool} {command}")).stdout;
            Validator::new(&serde_json::from_str(&printed).unwrap()).unwrap()
        });
        assert_valid(schema, &value);
        let kind = value["type"].as_str().unwrap().to_owned();
        self.first_of_type.entry(kind).or_insert_with(|| line.to_owned());
    }
}

fn runs_of_apply(seen: &mut Seen) {
    let world = World::new()
        .migration(
            "001_users.sql",
            "-- migrate:up\ncreate table users ();\n-- migrate:down\ndrop table users;",
        )
        .migration("002_wait.sql", "-- estimate: 2s\nselect pg_sleep(2.5)");
    for command in [
        "validate",
        "plan",
        "up --target 001",
        "status",
        "down",
        "up",
        "new add_orders",
        "baseline 003",
    ] {
        seen.take(&world, &world.run(&format!("migrate-apply {command}")));
    }
    seen.audited(&world);
}

fn runs_that_fail(seen: &mut Seen) {
    let world = World::new()
        .migration(
            "1_t.sql",
            "-- migrate:up transaction:false\ncreate table t (n int);\nselect 1 / 0;",
        )
        .migration("2_t.sql", "alter table t add m int");
    seen.take(&world, &world.run("migrate-apply up"));
    seen.take(&world, &world.run("migrate-apply resolve 1 --as applied --reason checked"));
    let mut client = world.client();
    let mut holder = client.transaction().unwrap();
    holder.batch_execute("lock table t").unwrap();
    seen.take(&world, &world.run("migrate-apply up --lock-timeout 20ms --retry-budget 100ms"));
    drop(holder);
    let world = world.migration("2_t.sql", "lock table t; select pg_sleep(30);");
    let up = world.spawn("migrate-apply up --block-limit 100ms --retry-budget 0s");
    world.wait_for(
        "exists (select from pg_locks where relation = 't'::regclass
                 and mode = 'AccessExclusiveLock')",
    );
    world.execute("select from t");
    seen.take(&world, &up.finish());
}

fn dry_runs(seen: &mut Seen) {
    let world = World::new().migration("001_users.sql", "alter table users add column name text");
    world.execute("create table users ()");
    seen.take(&world, &world.run("migrate-apply up --dry-run"));
}

fn runs_of_lock(seen: &mut Seen) {
    let world = World::new();
    let acquired = world.run("migrate-lock acquire --reason 'manual repair'");
    let token = acquired.one("lock.acquired")["token"].to_string();
    seen.take(&world, &acquired);
    for command in [
        "status",
        &format!("renew --token {token}"),
        &format!("release --token {token}"),
        "acquire --reason forgotten",
        "break --force --reason 'nobody knows who'",
    ] {
        seen.take(&world, &world.run(&format!("migrate-lock {command}")));
    }
    let lose = "migrate-lock run --ttl 1s -- sh -c \
                'psql \"$DATABASE_URL\" -qc \"truncate _migration_locks; select pg_sleep(60)\"'";
    let _ = world.run(lose).expect(Exit::Failed);
    seen.audited(&world);
}

fn runs_of_check(seen: &mut Seen) {
    let world = World::new().file("x.sql", "select count(*) as orders from orders");
    world.execute(
        "create table users (id bigint primary key);
         create table orders (id bigint primary key, user_id bigint references users);
         set session_replication_role = replica;
         insert into orders values (1, 7)",
    );
    for command in [
        "integrity --only orphans",
        "integrity",
        "run x.sql",
        "list",
        "health",
        "preflight",
        "baseline save",
    ] {
        seen.take(&world, &world.run(&format!("migrate-check {command}")));
    }
    let mut busy = world.client();
    busy.batch_execute("begin").unwrap();
    seen.take(&world, &world.run("migrate-check activity"));
    let world = world
        .migration(
            "1_t.sql",
            "-- migrate:up\ncreate table t (id int);\n-- migrate:down\ndrop table t;",
        )
        .file("queries.sql", "select * from users");
    for command in ["schema", "lint", "rehearse --queries queries.sql"] {
        seen.take(&world, &world.run(&format!("migrate-check {command}")));
    }
}

fn runs_of_backup(seen: &mut Seen) {
    let slow = format!("sleep 2.3; exec {} \"$@\"", World::real("pg_dump").display());
    let world = World::new().migration("1_t.sql", "create table t (id int)");
    world.execute("create table items (id int); insert into items values (1)");
    let world = world.stand_in("pg_dump", &slow);
    let created = world.run("migrate-backup create");
    seen.take(&world, &created);
    let id = created.one("backup.created")["backup_id"].as_str().unwrap().to_owned();
    seen.take(&world, &world.run("migrate-apply up"));
    for command in
        [&format!("restore {id}"), "restore --undo", "restore --drop-old", "restore --undo"]
    {
        seen.take(&world, &world.run(&format!("migrate-backup {command}")));
    }
    seen.audited(&world);
}

fn runs_of_a_store(seen: &mut Seen) {
    let world = World::at(String::new());
    let old = Stored::at("2026-11-22T10:00:00");
    let new = Stored::at("2026-11-24T10:00:00");
    old.write(&world.path("backups"));
    new.write(&world.path("backups"));
    let (old, new) = (&old.id, &new.id);
    for command in [
        &format!("verify {new}"),
        &format!("label {new} 'release 2.0'"),
        &format!("pin {old} --reason 'before 2.0'"),
        "list",
        &format!("unpin {old}"),
        "prune --keep-last 1",
    ] {
        seen.take(&world, &world.run(&format!("migrate-backup {command}")));
    }
    let carry = format!("migrate-backup export {new} | migrate-backup import --backups other");
    seen.take(&world, &world.shell(&carry));
    fs::write(world.path("backups").join(new).join("dump/toc.dat"), "cut off").unwrap();
    seen.take(&world, &world.run(&format!("migrate-backup verify {new}")));
}

fn runs_of_audit(seen: &mut Seen) {
    let world = World::new().migration("001_users.sql", "create table users ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    for command in [
        "note 'looked at it' --subject 001",
        "log --action audit.noted",
        "history",
        "verify",
        "export",
    ] {
        seen.take(&world, &world.run(&format!("migrate-audit {command}")));
    }
    let approved = world.shell("migrate-apply plan | migrate-audit approve - --as ann");
    seen.take(&world, &approved);
    let archive = "migrate-audit archive --before 2099-01-01 --to audit.jsonl";
    seen.take(&world, &world.run(archive));
    seen.audited(&world);
    world.execute("alter table _migration_audit_log disable trigger user");
    world.execute("update _migration_audit_log set actor = 'mallory'");
    seen.take(&world, &world.run("migrate-audit verify"));
    let world = world
        .file("migrate.toml", "[env.production.require]\napprovals = 2\n")
        .migration("002_orders.sql", "create table orders ()");
    seen.take(&world, &world.run("migrate-apply up --env production"));
}

fn all_types() -> Vec<String> {
    variants()
        .iter()
        .map(|it| it["properties"]["type"]["const"].as_str().unwrap().to_owned())
        .collect()
}

/// The fields that a record of this type always has.
fn required(kind: &str) -> Vec<String> {
    let all = schema::of_all();
    let variant =
        variants().into_iter().find(|it| it["properties"]["type"]["const"] == kind).unwrap();
    let name = variant["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap();
    let fields = all["$defs"][name]["required"].as_array().cloned().unwrap_or_default();
    fields.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

fn variants() -> Vec<Value> {
    schema::of_all()["oneOf"].as_array().unwrap().clone()
}

#[track_caller]
fn assert_valid(schema: &Validator, record: &Value) {
    let errors: Vec<String> = schema.iter_errors(record).map(|it| it.to_string()).collect();
    assert!(errors.is_empty(), "{record}\n{errors:?}");
}

fn update(path: &str, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(format!("{}/{path}", source::ROOT), text).unwrap();
    }
}

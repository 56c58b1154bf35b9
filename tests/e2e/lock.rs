//! `migrate-lock`: what its commands do, say and refuse.

use migrate_core::exit::Exit;
use migrate_tests::World;

const EXPIRE: &str =
    "update _migration_locks set expires_at = clock_timestamp() - interval '1 second'";

fn acquired(world: &World, flags: &str) -> i64 {
    let outcome = world.run(&format!("migrate-lock acquire {flags}")).expect(Exit::Ok);
    outcome.one("lock.acquired")["token"].as_i64().unwrap()
}

fn actions(world: &World) -> String {
    world.query("select string_agg(action, ' ' order by id) from _migration_audit_log")
}

#[test]
fn a_lease_is_acquired_shown_renewed_and_released_and_all_of_it_is_audited() {
    let world = World::new();
    let token = acquired(&world, "--ttl 5m --reason restore");
    let row = world.run("migrate-lock status").expect(Exit::Ok).one("lock");
    assert_eq!(row["token"], token);
    assert_eq!((&row["state"], &row["reason"]), (&"held".into(), &"restore".into()));
    assert_eq!(row["advisory_held"], false);
    let renewed = world.run(&format!("migrate-lock renew --token {token} --ttl 1h"));
    assert_eq!(renewed.expect(Exit::Ok).one("lock.renewed")["token"], token);
    assert_eq!(world.query("select expires_at > now() + '59min' from _migration_locks"), "true");
    let released = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Ok);
    assert_eq!(released.one("lock.released")["lock_name"], "migrate");
    assert_eq!(world.run("migrate-lock status").expect(Exit::Ok).stdout, "");
    assert_eq!(actions(&world), "ledger.created lock.acquired lock.renewed lock.released");
}

#[test]
fn a_renewal_without_a_ttl_gives_as_long_as_before() {
    let world = World::new();
    let token = acquired(&world, "--ttl 7m");
    let _ = world.run(&format!("migrate-lock renew --token {token}")).expect(Exit::Ok);
    assert_eq!(
        world.query(
            "select expires_at - renewed_at between '419s' and '421s' from _migration_locks"
        ),
        "true"
    );
}

#[test]
fn a_lock_that_is_held_is_busy_and_its_owner_is_named() {
    let world = World::new();
    let _ = acquired(&world, "--reason restore");
    for command in ["migrate-lock acquire --wait 0s", "migrate-lock run --wait 0s -- true"] {
        let busy = world.run(command).expect(Exit::Busy);
        assert!(busy.stderr.contains("held by `postgres`, process"), "{busy}");
    }
    let _ = acquired(&world, "--name other");
}

#[test]
fn only_the_owner_can_release_and_only_once() {
    let world = World::new();
    let token = acquired(&world, "");
    let _ = world.run("migrate-lock release --token 999").expect(Exit::Refused);
    let _ = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Ok);
    let again = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Refused);
    assert_eq!(again.one("error")["kind"], "not_the_owner");
    let thief = acquired(&world, "");
    let _ = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Refused);
    let _ = world.run(&format!("migrate-lock renew --token {token}")).expect(Exit::Refused);
    assert_eq!(world.query("select token from _migration_locks"), thief.to_string());
}

#[test]
fn a_lease_past_its_time_cannot_be_renewed() {
    let world = World::new();
    let token = acquired(&world, "");
    world.execute(EXPIRE);
    let _ = world.run(&format!("migrate-lock renew --token {token}")).expect(Exit::Refused);
    assert!(acquired(&world, "--wait 0s") > token);
}

#[test]
fn tokens_grow_whatever_is_deleted_or_dropped() {
    let world = World::new();
    let first = acquired(&world, "");
    world.execute("delete from _migration_locks");
    let second = acquired(&world, "");
    world.execute("drop table _migration_locks");
    let third = acquired(&world, "");
    assert!(first < second && second < third, "{first} {second} {third}");
}

#[test]
fn status_needs_no_tables_and_no_right_to_write() {
    let world = World::new();
    assert_eq!(world.run("migrate-lock status").expect(Exit::Ok).stdout, "");
    assert_eq!(world.query("to_regclass('_migration_locks')"), "null");
    let _ = acquired(&world, "");
    let database = world.query("current_database()");
    let role = format!("reader_{database}");
    world.execute(&format!(
        "create role {role} login; grant select on _migration_locks to {role};
         alter role {role} set default_transaction_read_only = on"
    ));
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let world = world.env("DATABASE_URL", &url);
    let row = world.run("migrate-lock status").expect(Exit::Ok).one("lock");
    assert_eq!(row["state"], "held");
    let refused = world.run("migrate-lock acquire --wait 0s").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "read_only");
    let csv = world.run("migrate-lock status --output csv").expect(Exit::Ok).stdout;
    assert!(csv.starts_with("v,at,tool,type,lock_name,token,state,"), "{csv}");
}

#[test]
fn the_text_form_is_a_table_and_a_line() {
    let world = World::new();
    let outcome = world.run("migrate-lock acquire --output text").expect(Exit::Ok);
    assert_eq!(outcome.stdout, "✓ Lock `migrate` acquired (token 1)\n");
    let table = world.run("migrate-lock status --output text").expect(Exit::Ok).stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("LOCK     TOKEN  STATE  OWNER"), "{table}");
    assert!(lines[1].starts_with("migrate  1      held   postgres"), "{table}");
}

#[test]
fn break_expired_removes_what_is_past_its_time_and_nothing_else() {
    let world = World::new();
    let old = acquired(&world, "--name old");
    world.execute(EXPIRE);
    let _ = acquired(&world, "");
    let broken = world.run("migrate-lock break --expired --reason cleanup").expect(Exit::Ok);
    let record = broken.one("lock.broken");
    assert_eq!((&record["token"], &record["forced"]), (&old.into(), &false.into()));
    assert_eq!(world.query("select string_agg(lock_name, ' ') from _migration_locks"), "migrate");
    assert_eq!(world.run("migrate-lock break --expired").expect(Exit::Ok).stdout, "");
}

#[test]
fn break_force_needs_a_reason_and_is_audited_with_it() {
    let world = World::new();
    let token = acquired(&world, "");
    for bad in ["--force", "--force --reason ''", "", "--expired --force --reason x"] {
        let _ = world.run(&format!("migrate-lock break {bad}")).expect(Exit::Usage);
    }
    let broken = world.run("migrate-lock break --force --reason 'host died'").expect(Exit::Ok);
    assert_eq!(broken.one("lock.broken")["token"], token);
    assert_eq!(
        world.query(
            "select details ->> 'reason' from _migration_audit_log where action = 'lock.broken'"
        ),
        "host died"
    );
    assert_eq!(world.run("migrate-lock break --force --reason again").expect(Exit::Ok).stdout, "");
}

#[test]
fn a_lock_name_that_is_not_plain_is_a_mistake() {
    let world = World::new();
    let long = "a".repeat(10_000);
    for name in ["", "'; drop table t; --", "A", "a b", "mіgrate", "a\nb", &long] {
        let flag = format!("--name='{}'", name.replace('\'', ""));
        for command in ["acquire", "status"] {
            let _ = world.run(&format!("migrate-lock {command} {flag}")).expect(Exit::Usage);
        }
    }
    for ttl in ["0s", "-1s", "10", "2y"] {
        let _ = world.run(&format!("migrate-lock acquire --ttl={ttl}")).expect(Exit::Usage);
    }
    assert_eq!(world.query("to_regclass('_migration_locks')"), "null");
}

#[test]
fn the_time_zone_of_client_and_server_changes_no_instant() {
    let world = World::new().env("TZ", "Asia/Kolkata").env("PGTZ", "America/St_Johns");
    let database = world.query("current_database()");
    world.execute(&format!("alter database {database} set timezone = 'Asia/Kathmandu'"));
    let outcome = world.run("migrate-lock acquire --ttl 5m").expect(Exit::Ok);
    let expires = outcome.one("lock.acquired")["expires_at"].as_str().unwrap().to_owned();
    assert!(expires.ends_with('Z'), "{expires}");
    assert_eq!(
        world.query(&format!("select expires_at = '{expires}' from _migration_locks")),
        "true"
    );
    assert_eq!(world.query("select expires_at - now() < '301s' from _migration_locks"), "true");
}

#[test]
fn two_ledgers_and_an_application_with_the_same_number_do_not_meet() {
    let world = World::new();
    let _ = acquired(&world, "--ledger-schema shop");
    let _ = acquired(&world, "--ledger-schema billing --wait 0s");
    let mut application = world.client();
    let key = advisory_key("public", "migrate");
    let both = (0x6d69_6772_i64 << 32) | i64::from(key as u32);
    application.execute("select pg_advisory_lock($1)", &[&both]).unwrap();
    let _ = acquired(&world, "--wait 0s");
}

#[test]
fn who_squats_the_key_is_named() {
    let world = World::new();
    let role = format!("squatter_{}", world.query("current_database()"));
    world.execute(&format!("create role {role} login"));
    let url = world.url().replace("user=postgres", &format!("user={role}"));
    let mut squatter = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let key = advisory_key("public", "migrate");
    squatter.execute("select pg_advisory_lock($1, $2)", &[&0x6d69_6772_i32, &key]).unwrap();
    let pid: i32 = squatter.query_one("select pg_backend_pid()", &[]).unwrap().get(0);
    let busy = world.run("migrate-lock acquire --wait 0s").expect(Exit::Busy);
    assert!(busy.stderr.contains(&format!("process {pid} ")), "{busy}");
    assert!(busy.stderr.contains(&format!("`{role}`")), "{busy}");
    let row = world.run("migrate-lock status").expect(Exit::Ok).one("lock");
    assert_eq!((&row["token"], &row["advisory_pid"]), (&serde_json::Value::Null, &pid.into()));
}

/// As documented for the squatted key: the first four bytes of sha256(schema, NUL, name).
fn advisory_key(schema: &str, name: &str) -> i32 {
    let world = World::new();
    let hex: String =
        format!("{schema}\0{name}").bytes().map(|byte| format!("{byte:02x}")).collect();
    let sql =
        format!("('x' || left(encode(sha256('\\x{hex}'::bytea), 'hex'), 8))::bit(32)::integer");
    world.query(&sql).parse().unwrap()
}

#[test]
fn no_lease_is_handed_out_that_is_half_over() {
    let world = World::new();
    let token = acquired(&world, "");
    let _ = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Ok);
    std::thread::scope(|scope| {
        let mut holder = world.client();
        holder.batch_execute("begin; lock table _migration_audit_log in exclusive mode").unwrap();
        let taken = scope.spawn(|| acquired(&world, "--ttl 1s"));
        world.wait_for("exists (select from pg_locks where not granted)");
        holder.batch_execute("select pg_sleep(0.7); commit").unwrap();
        let _ = taken.join().unwrap();
    });
    assert_eq!(
        world.query("select renewed_at - acquired_at > '500ms' and expires_at - renewed_at > '999ms' from _migration_locks"),
        "true"
    );
}

#[test]
fn what_stands_in_place_of_the_lock_table_must_be_ours() {
    for (spoil, said) in [
        ("alter table _migration_locks enable row level security", "row security"),
        (
            "create function f() returns trigger language plpgsql as 'begin return null; end';
             create trigger t before insert on _migration_locks for each row execute function f()",
            "trigger",
        ),
        ("create rule r as on insert to _migration_locks do instead nothing", "rule"),
        ("alter table _migration_locks drop column renewed_at", "lacks columns"),
        ("alter table _migration_locks drop constraint _migration_locks_fence", "lacks columns"),
        (
            "alter table _migration_locks rename to hidden;
             create view _migration_locks as select * from hidden",
            "not an ordinary table",
        ),
    ] {
        let world = World::new();
        let token = acquired(&world, "");
        let _ = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Ok);
        world.execute(spoil);
        let refused = world.run("migrate-lock acquire --wait 0s").expect(Exit::Refused);
        assert_eq!(refused.one("error")["kind"], "foreign_ledger", "{spoil}");
        assert!(refused.stderr.contains(said), "{spoil}: {refused}");
    }
}

#[test]
fn a_lock_table_of_another_role_is_not_trusted() {
    let world = World::new();
    let token = acquired(&world, "");
    let _ = world.run(&format!("migrate-lock release --token {token}")).expect(Exit::Ok);
    let database = world.query("current_database()");
    world.execute(&format!(
        "create role other_{database}; create role deployer_{database} login;
         grant all on schema public to deployer_{database};
         grant all on all tables in schema public to deployer_{database};
         alter table _migration_locks owner to other_{database}"
    ));
    let url = world.url().replace("user=postgres", &format!("user=deployer_{database}"));
    let world = world.env("DATABASE_URL", &url);
    let refused = world.run("migrate-lock acquire --wait 0s").expect(Exit::Refused);
    assert!(refused.stderr.contains("whom nothing makes trusted"), "{refused}");
}

#[test]
fn every_record_fits_the_schema_and_the_man_page_is_made() {
    let world = World::new();
    let schema = world.run("migrate-lock schema").expect(Exit::Ok).stdout;
    assert!(schema.contains("lock.broken") && schema.contains("command.finished"));
    assert!(world.run("migrate-lock man").expect(Exit::Ok).stdout.contains("migrate\\-lock"));
}

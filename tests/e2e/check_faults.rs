//! Faults made on a real server: each is found with the object's name, and nothing else is.

use migrate_tests::World;
use serde_json::Value;

/// A sound database with something of each kind.
const SOUND: &str = include_str!("check_faults/sound.sql");

/// What is broken, and what must be found then: `check object`, one a line.
const FAULTS: &str = include_str!("check_faults/faults.sql");

struct Fault {
    title: String,
    sql: String,
    found: Vec<String>,
}

/// `-- title`, then `-- found: check object` lines, then SQL.
fn faults() -> Vec<Fault> {
    let mut faults: Vec<Fault> = Vec::new();
    for line in FAULTS.lines() {
        let last = faults.last_mut();
        if let Some(found) = line.strip_prefix("-- found: ") {
            last.unwrap().found.push(found.to_owned());
        } else if let Some(title) = line.strip_prefix("-- ") {
            faults.push(Fault { title: title.to_owned(), sql: String::new(), found: Vec::new() });
        } else if let Some(fault) = last {
            fault.sql += line;
            fault.sql.push('\n');
        }
    }
    faults
}

/// What is not well, as `check object`, in the order of the records.
fn found(world: &World) -> Vec<String> {
    let outcome = world.run("migrate-check integrity --deep");
    let said = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    outcome
        .of_type("check")
        .iter()
        .filter(|it| it["status"] == "fail" || it["status"] == "warn")
        .map(|it| format!("{} {}", said(&it["name"]), said(&it["object"])))
        .collect()
}

#[test]
fn a_sound_database_has_no_finding() {
    let world = World::new();
    world.execute(SOUND);
    assert_eq!(found(&world), Vec::<String>::new());
}

#[test]
fn every_fault_is_found_by_name_and_nothing_else_is() {
    let faults = faults();
    assert!(faults.len() >= 30, "only {}", faults.len());
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(fault) =
                    faults.get(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
                {
                    is_found(fault);
                }
            });
        }
    });
}

fn is_found(fault: &Fault) {
    let world = World::new();
    world.execute(SOUND);
    // Some statements must run alone.
    let mut client = world.client();
    for statement in fault.sql.split(";\n") {
        let done = client.batch_execute(statement);
        // An index that cannot be built is a fault that some of these are about.
        let wanted = statement.contains("-- fails");
        assert_eq!(done.is_err(), wanted, "{}: {statement}: {done:?}", fault.title);
    }
    let database = world.query("current_database()");
    let expected: Vec<String> = fault
        .found
        .iter()
        .map(|it| it.replace("{database}", &database).replace("\\n", "\n"))
        .collect();
    assert_eq!(found(&world), expected, "{}", fault.title);
}

#[test]
fn two_runs_print_the_same() {
    let world = World::new();
    world.execute(SOUND);
    world.execute(
        "set session_replication_role = replica;
         insert into orders (id, user_id) select n, n from generate_series(100, 900) as n;
         alter table orders disable trigger all",
    );
    let run = |flags: &str| -> Vec<Value> {
        let outcome = world.run(&format!("migrate-check integrity {flags}"));
        let mut records = outcome.records();
        for record in &mut records {
            for field in ["at", "ms"] {
                record.as_object_mut().unwrap().shift_remove(field);
            }
        }
        records
    };
    assert_eq!(run(""), run(""));
    assert_eq!(run(""), run("--jobs 4"));
}

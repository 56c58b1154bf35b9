//! Archives that are whole and hostile, or made by somebody whom nobody here knows.

use std::fs;

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World};
use rustix::process::Signal;

use crate::backup_create::id_of;

/// A backup in a store, and no database to ask about it.
fn world() -> (World, World, String) {
    let source = World::new();
    source.execute("create table items (id int); insert into items select generate_series(1, 100)");
    let id = id_of(&source.run("migrate-backup create").expect(Exit::Ok));
    let backups = source.path("backups");
    let world = World::at(String::new()).env("MIGRATE_BACKUPS", backups.to_str().unwrap());
    (source, world, id)
}

/// Changes the archive's table of contents, and makes manifest and hashes anew, as a forger would.
fn forge(world: &World, id: &str, from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let script = format!(
        "cd \"$MIGRATE_BACKUPS/{id}\" && sed -i 's|{from}|{to}|g' dump/toc.dat && \
         hash=$(sha256sum dump/toc.dat | cut -d' ' -f1) && \
         jq --arg hash \"$hash\" '(.files[] | select(.path == \"dump/toc.dat\")).sha256 = $hash' manifest.json > new && \
         cat new > manifest.json && rm new && sha256sum manifest.json > manifest.json.sha256"
    );
    let _ = world.shell(&script).expect(Exit::Ok);
}

/// `3410.dat`, the file of the largest number.
fn data_file(source: &World, id: &str) -> String {
    let dump = source.path("backups").join(id).join("dump");
    let names =
        fs::read_dir(dump).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let name = names.filter(|it| it.ends_with(".dat.gz")).max().unwrap();
    name.strip_suffix(".gz").unwrap().to_owned()
}

fn kind(outcome: &Outcome) -> String {
    outcome.one("error")["kind"].as_str().unwrap().to_owned()
}

#[test]
fn a_table_of_contents_that_leads_elsewhere_is_refused_before_a_program_reads_it() {
    let (source, world, id) = world();
    let file = data_file(&source, &id);
    let elsewhere = format!("../{}", &file[3..]);
    forge(&world, &id, &file, &elsewhere);
    let world = world.stand_in("pg_restore", "touch ran; exit 1");
    let _ = world.run(&format!("migrate-backup verify {id}")).expect(Exit::Ok);
    let found = world.run(&format!("migrate-backup verify {id} --level read")).expect(Exit::No);
    let damages = found.one("backup.damaged")["damages"].to_string();
    assert!(damages.contains("leads out of the folder"), "{damages}");
    assert!(!world.path("ran").exists());
}

#[test]
fn an_archive_of_a_newer_pg_dump_needs_a_newer_pg_restore() {
    let (_source, world, id) = world();
    let version = migrate_core::server::programs::find(
        migrate_core::server::programs::Required::Client,
        None,
    );
    let version = version.unwrap().version;
    forge(&world, &id, &version, &format!("99{}", &version[2..]));
    let found = world.run(&format!("migrate-backup verify {id} --level read"));
    assert_eq!(kind(&found.expect(Exit::Unavailable)), "no_programs");
}

#[test]
fn an_imported_backup_runs_nothing_unless_its_maker_is_known() {
    let (source, world, id) = world();
    let carried = world.shell(&format!(
        "migrate-backup export {id} | MIGRATE_BACKUPS=elsewhere migrate-backup import"
    ));
    let _ = carried.expect(Exit::Ok);
    let elsewhere = world.path("elsewhere");
    let stranger = World::at(String::new()).env("MIGRATE_BACKUPS", elsewhere.to_str().unwrap());
    let verify = format!("migrate-backup verify {id} --level restore");
    assert_eq!(kind(&stranger.run(&verify).expect(Exit::Refused)), "unknown_origin");
    let _ = stranger.run(&format!("{verify} --trust-origin")).expect(Exit::Ok);
    // The database that it was made of bears witness.
    let witness =
        World::at(source.url().to_owned()).env("MIGRATE_BACKUPS", elsewhere.to_str().unwrap());
    let verified = witness.run(&verify).expect(Exit::Ok);
    assert_eq!(verified.one("backup.verified")["audit"], "matches");
}

#[test]
fn a_restore_that_is_interrupted_drops_its_copy_and_ends_its_programs() {
    let (source, _, id) = world();
    let script = format!("echo $$ >{}; exec sleep 600", source.path("told").display());
    let source = source.stand_in("pg_restore", &script);
    let oid = source.query("select oid from pg_database where datname = current_database()");
    let restore = source.spawn(&format!("migrate-backup restore {id}"));
    let copies =
        format!("select count(*) from pg_database where datname like 'migrate\\_new\\_{oid}\\_%'");
    source.wait_for(&format!("({copies}) = 1"));
    while !source.path("told").exists() {
        std::thread::yield_now();
    }
    restore.signal(Signal::TERM);
    let ended = restore.finish().expect(Exit::Signal(15));
    let message = ended.one("error")["message"].to_string();
    assert!(message.contains("the copy is dropped"), "{message}");
    assert_eq!(source.query(&copies), "0");
    source.assert_sound();
}

#[test]
fn what_a_dump_cannot_carry_and_what_is_secret_in_it_is_said() {
    let world = World::new();
    world.execute(
        "create foreign data wrapper w; create server away foreign data wrapper w;
         create user mapping for public server away options (user 'u', password 'gehe1m')",
    );
    let created = world.run("migrate-backup create").expect(Exit::Ok);
    let warnings = created.one("backup.created")["warnings"].to_string();
    assert!(warnings.contains("user mapping"), "{warnings}");
    assert!(!created.stdout.contains("gehe1m") && !created.stderr.contains("gehe1m"), "{created}");
}

#[test]
fn a_pg_dump_of_somebody_else_is_named_by_who_waits_for_it() {
    let world = World::new().migration("1_t.sql", "alter table items add column more int");
    world.execute("create table items (id int)");
    let mut dump = world.client();
    dump.batch_execute(
        "set application_name = 'pg_dump'; begin; lock table items in access share mode",
    )
    .unwrap();
    let busy = world.run("migrate-apply up --lock-timeout 600ms --retry-budget 2s");
    let busy = busy.expect(Exit::Busy);
    let waited = busy.of_type("lock.waited");
    let named = waited.iter().any(|it| it["holders"].to_string().contains("pg_dump"));
    assert!(named, "{busy}");
}

//! The store when the disk fails: a backup is there for certain, or not at all.
//!
//! `strace` plays the disk: it lets single system calls fail, and writes down their order.

use std::fs;

use migrate_core::exit::Exit;
use migrate_tests::{Outcome, World, stored::Stored};

/// A world without any database, and the archive of a backup in `backup.tar.gz`.
fn world() -> (World, Stored) {
    let world = World::at(String::new());
    let stored = Stored::at("2026-11-24T10:00:00");
    stored.write(&world.path("backups"));
    let line = format!("migrate-backup export {} > backup.tar.gz", stored.id);
    let _ = world.shell(&line).expect(Exit::Ok);
    (world, stored)
}

/// Imports the archive into an empty store, watched by strace.
fn import(world: &World, strace: &str) -> Outcome {
    let line = format!("strace -f -y -o trace {strace} migrate-backup import --backups other");
    world.shell(&format!("rm -rf other; {line} < backup.tar.gz"))
}

fn names(world: &World) -> Vec<String> {
    let Ok(entries) = fs::read_dir(world.path("other")) else { return Vec::new() };
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|it| it != ".lock").collect()
}

/// The Nth of these calls fails, for each N until there are no more of them.
#[track_caller]
fn fails_at_each(calls: &str, error: &str) -> usize {
    let (world, stored) = world();
    let verify = format!("migrate-backup verify {} --backups other", stored.id);
    for nth in 1..100 {
        let inject = format!("-e trace={calls} -e inject={calls}:error={error}:when={nth}");
        let outcome = import(&world, &inject);
        if !fs::read_to_string(world.path("trace")).unwrap().contains("(INJECTED)") {
            let _ = outcome.expect(Exit::Ok);
            return nth - 1;
        }
        if outcome.status.success() {
            // What failed came after the backup was there: a note about it, or its record.
            let _ = world.run(&verify).expect(Exit::Ok);
        } else {
            let outcome = outcome.expect(Exit::Unavailable);
            assert_eq!(names(&world), Vec::<String>::new(), "{calls} {nth}: {outcome}");
        }
    }
    panic!("there are always more of {calls}");
}

#[test]
fn an_error_of_fsync_is_never_taken_for_success() {
    // Four files, their folder, the manifest, its hash, the partial, the store; and the notes.
    assert!(fails_at_each("fsync", "EIO") >= 9);
}

#[test]
fn a_full_disk_leaves_nothing_whenever_it_is_noticed() {
    assert!(fails_at_each("write", "ENOSPC") >= 6);
    assert!(fails_at_each("mkdirat", "EDQUOT") >= 3);
}

#[test]
fn a_name_that_cannot_be_given_leaves_nothing() {
    assert_eq!(fails_at_each("/^renameat2?$", "ENOSPC"), 1);
}

#[test]
fn whatever_a_name_tells_of_is_on_disk_before_the_name_is() {
    let (world, stored) = world();
    let _ = import(&world, "-e trace=write,fsync,/^renameat2?$").expect(Exit::Ok);
    let trace = fs::read_to_string(world.path("trace")).unwrap();
    let partial = format!("other/.{}.partial", stored.id);
    let place = |line: &str| line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
    let calls: Vec<(String, String)> = trace
        .lines()
        .filter_map(|it| it.split_once(' '))
        .map(|(_, call)| (call.trim().split('(').next().unwrap().to_owned(), place(call)))
        .collect();
    let last = |call: &str, path: &str| {
        let is = |it: &(String, String)| it.0 == call && it.1.ends_with(path);
        calls.iter().rposition(is).unwrap_or_else(|| panic!("no {call} of {path}\n{trace}"))
    };
    let rename = calls.iter().position(|it| it.0.starts_with("renameat")).unwrap();
    let files = ["dump/toc.dat", "dump/3001.dat.gz", "manifest.json", "manifest.json.sha256"];
    for file in files.map(|it| format!("{partial}/{it}")) {
        assert!(last("write", &file) < last("fsync", &file), "{file}\n{trace}");
        assert!(last("fsync", &file) < last("fsync", &partial), "{file}\n{trace}");
    }
    let empty = last("fsync", &format!("{partial}/dump/3002.dat.gz"));
    let dump = last("fsync", &format!("{partial}/dump"));
    assert!(empty < dump && dump < last("fsync", &format!("{partial}/manifest.json")), "{trace}");
    assert!(last("fsync", &partial) < rename, "{trace}");
    let store =
        calls.iter().skip(rename).position(|it| it.0 == "fsync" && it.1.ends_with("/other"));
    assert_eq!(store, Some(1), "{trace}");
}

#[test]
fn a_store_that_cannot_be_written_to_can_be_listed_verified_and_exported() {
    let (world, stored) = world();
    let id = &stored.id;
    let mount = "mount -t tmpfs tmpfs mnt && cp -a backups mnt/ && mount -o remount,ro mnt";
    let commands = format!(
        "export MIGRATE_BACKUPS=mnt/backups; migrate-backup list && migrate-backup verify {id} \
         && migrate-backup export {id} | cmp - backup.tar.gz \
         && ! migrate-backup prune --keep-last 1 && ! migrate-backup pin {id}"
    );
    let space = "unshare --user --map-root-user --mount";
    if !world.shell(&format!("{space} true")).status.success() {
        // A system that allows no mounts has no read-only folder for root.
        return;
    }
    let line = format!("mkdir mnt && {space} sh -ec '{mount}; {commands}'");
    let outcome = world.shell(&line).expect(Exit::Ok);
    assert_eq!(outcome.types(), ["backup", "backup.verified", "error", "error"]);
    assert!(outcome.stderr.contains("the result is not kept in the store"), "{outcome}");
}

//! `migrate-backup export` and `import`: a backup travels as one file, and nothing in it is believed.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use flate2::{Compression, write::GzEncoder};
use migrate_core::{exit::Exit, fault::Point};
use migrate_tests::{Outcome, World, stored::Stored};
use serde_json::Value;
use tar::{EntryType, Header};

/// A world without any database, with one backup in its store.
fn world() -> (World, Stored, PathBuf) {
    let world = World::at(String::new());
    let stored = Stored::at("2026-11-24T10:00:00");
    let folder = stored.write(&world.path("backups"));
    (world, stored, folder)
}

fn export(world: &World, stored: &Stored) -> Outcome {
    world.shell(&format!("migrate-backup export {} > backup.tar.gz", stored.id))
}

fn import(world: &World) -> Outcome {
    world.shell("migrate-backup import --backups other < backup.tar.gz")
}

/// Nothing is in the store that it was imported to, neither a backup nor a part of one.
#[track_caller]
fn assert_nothing_there(world: &World) {
    let names = fs::read_dir(world.path("other")).map(|it| {
        it.map(|it| it.unwrap().file_name().into_string().unwrap())
            .filter(|it| it != ".lock")
            .collect::<Vec<_>>()
    });
    assert_eq!(names.unwrap_or_default(), Vec::<String>::new());
}

#[test]
fn a_backup_that_was_carried_is_the_same_in_every_byte() {
    let (world, stored, folder) = world();
    let out = export(&world, &stored).expect(Exit::Ok);
    assert_eq!(out.stdout, "");
    let imported = import(&world).expect(Exit::Ok).one("backup.imported");
    assert_eq!(imported["backup_id"], stored.id);
    assert_eq!(imported["database"], "shop");
    assert_eq!(imported["already_there"], false);
    let copy = world.path("other").join(&stored.id);
    assert_eq!(files(&copy), files(&folder));
    let line = format!("migrate-backup verify {} --backups other", stored.id);
    let _ = world.run(&line).expect(Exit::Ok);
    let row = world.run("migrate-backup list --backups other").expect(Exit::Ok).one("backup");
    assert_eq!(row["proven"], "checksum");
}

/// All files below a folder, with what is in them.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(
                files(&path).into_iter().map(|(it, bytes)| (Path::new("dump").join(it), bytes)),
            );
        } else {
            let bytes = fs::read(&path).unwrap();
            found.push((PathBuf::from(path.file_name().unwrap()), bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn two_exports_are_equal_and_tar_unpacks_them_to_what_the_store_has() {
    let (world, stored, folder) = world();
    let _ = export(&world, &stored).expect(Exit::Ok);
    let first = fs::read(world.path("backup.tar.gz")).unwrap();
    let _ = export(&world, &stored).expect(Exit::Ok);
    assert_eq!(first, fs::read(world.path("backup.tar.gz")).unwrap());
    let _ = world.shell("mkdir by_hand && tar xzf backup.tar.gz -C by_hand").expect(Exit::Ok);
    let copy = world.path("by_hand").join(&stored.id);
    assert_eq!(files(&copy), files(&folder));
    let check = format!("cd by_hand/{} && sha256sum -c manifest.json.sha256", stored.id);
    let _ = world.shell(&check).expect(Exit::Ok);
}

#[test]
fn a_pipe_carries_a_backup_from_store_to_store_and_on_to_its_proof() {
    let (world, stored, _) = world();
    let line = format!(
        "migrate-backup export {} | migrate-backup import --backups other \
         | migrate-backup verify - --backups other",
        stored.id
    );
    let verified = world.shell(&line).expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["backup_id"], stored.id);
}

#[test]
fn a_backup_that_is_there_already_is_recognised_and_another_one_is_refused() {
    let (world, stored, _) = world();
    let _ = export(&world, &stored).expect(Exit::Ok);
    let line = "set -e; cat backup.tar.gz | migrate-backup import";
    let imported = world.shell(line).expect(Exit::Ok).one("backup.imported");
    assert_eq!(imported["already_there"], true);
    let mut other = stored.clone();
    other.database = "crm".to_owned();
    other.write(&world.path("other"));
    let error = import(&world).expect(Exit::Refused).one("error");
    assert_eq!(error["kind"], "other_backup");
    let row = world.run("migrate-backup list --backups other").one("backup");
    assert_eq!(row["database"], "crm");
}

#[test]
fn a_damaged_backup_is_not_exported_and_what_was_written_cannot_be_taken_for_whole() {
    let (world, stored, folder) = world();
    let path = folder.join("dump/3001.dat.gz");
    for bytes in [vec![6; 5000], vec![7; 5001], vec![7; 4999]] {
        fs::write(&path, bytes).unwrap();
        let error = export(&world, &stored).expect(Exit::Refused);
        assert!(error.stderr.contains("`dump/3001.dat.gz` is not what was written"), "{error}");
        let by_hand = world.shell("tar tzf backup.tar.gz");
        assert!(!by_hand.status.success(), "{by_hand}");
        let _ = import(&world).expect(Exit::Usage);
        assert_nothing_there(&world);
    }
}

#[test]
fn an_archive_does_not_go_to_a_terminal_and_a_full_disk_is_an_error() {
    let (world, stored, _) = world();
    let line = format!("script -qec 'migrate-backup export {}' /dev/null", stored.id);
    let outcome = world.shell(&line).expect(Exit::Usage);
    assert!(outcome.stdout.contains("stdout is a terminal"), "{outcome}");
    let full = world.shell(&format!("migrate-backup export {} > /dev/full", stored.id));
    let _ = full.expect(Exit::Unavailable);
}

#[test]
fn an_archive_that_was_cut_off_or_has_a_wrong_byte_leaves_nothing() {
    let (world, stored, folder) = world();
    let _ = export(&world, &stored).expect(Exit::Ok);
    let whole = fs::read(world.path("backup.tar.gz")).unwrap();
    for part in (0..20).map(|it| whole.len() * it / 20) {
        fs::write(world.path("backup.tar.gz"), &whole[..part]).unwrap();
        let _ = import(&world).expect(Exit::Usage);
        assert_nothing_there(&world);
    }
    // From behind the header of gzip, which says what nobody reads.
    for at in (10..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(world.path("backup.tar.gz"), bytes).unwrap();
        let outcome = import(&world);
        let code = outcome.status.code();
        if code == Some(0) {
            // Some bits say the same either way, such as from how far back zeros are copied.
            let copy = world.path("other").join(&stored.id);
            assert_eq!(files(&copy), files(&folder), "byte {at}");
            fs::remove_dir_all(world.path("other")).unwrap();
            continue;
        }
        assert!(code == Some(2) || code == Some(5), "byte {at}: {outcome}");
        assert_nothing_there(&world);
    }
    fs::write(world.path("backup.tar.gz"), [whole.clone(), whole].concat()).unwrap();
    let _ = import(&world).expect(Exit::Refused);
    assert_nothing_there(&world);
}

/// Entries of an archive, each with its path, kind and bytes.
type Entries = Vec<(String, EntryType, Vec<u8>)>;

fn entries(stored: &Stored) -> Entries {
    let manifest = serde_json::to_string_pretty(&stored.manifest()).unwrap() + "\n";
    let mut entries = front(stored, &manifest);
    for (name, bytes) in &stored.files {
        let path = format!("{}/dump/{name}", stored.id);
        entries.push((path, EntryType::Regular, bytes.clone()));
    }
    entries
}

fn front(stored: &Stored, manifest: &str) -> Entries {
    let hash = migrate_tests::stored::sha256(manifest.as_bytes());
    let hash = format!("{hash}  manifest.json\n");
    let path = |name: &str| format!("{}/{name}", stored.id);
    vec![
        (path("manifest.json"), EntryType::Regular, manifest.into()),
        (path("manifest.json.sha256"), EntryType::Regular, hash.into_bytes()),
    ]
}

/// Packs entries whatever their names are, which the library would refuse.
fn pack(world: &World, entries: &Entries) {
    let file = File::create(world.path("backup.tar.gz")).unwrap();
    let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    for (path, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o777);
        let is_file = matches!(kind, EntryType::Regular | EntryType::GNULongName);
        header.set_size(if is_file { bytes.len() as u64 } else { 0 });
        if !is_file {
            header.as_old_mut().linkname[..bytes.len()].copy_from_slice(bytes);
        }
        header.set_cksum();
        tar.append(&header, if is_file { bytes.as_slice() } else { &[] }).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap().flush().unwrap();
}

#[test]
fn an_archive_that_tar_made_by_hand_is_taken() {
    let (world, stored, _) = world();
    let id = &stored.id;
    let line = format!(
        "cd backups && tar czf ../backup.tar.gz {id}/manifest.json {id}/manifest.json.sha256 {id}/dump"
    );
    let _ = world.shell(&line).expect(Exit::Ok);
    let _ = import(&world).expect(Exit::Ok);
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    type Harm = fn(&Stored, &mut Entries);
    let cases: [(&str, Harm); 17] = [
        ("leads out of its folder", |_, it| it[2].0 = "../toc.dat".into()),
        ("leads out of its folder", |_, it| it[2].0 = "/etc/cron.d/toc.dat".into()),
        ("or not in its manifest", |stored, it| it[2].0 = format!("{}/../x", stored.id)),
        ("or not in its manifest", |stored, it| it[2].0 = format!("{}/dump/../x", stored.id)),
        ("or not in its manifest", |stored, it| {
            it.push((format!("{}/dump/extra", stored.id), EntryType::Regular, vec![]));
        }),
        ("is twice in it", |_, it| it.push(it[2].clone())),
        ("is twice in it", |_, it| it.push(it[0].clone())),
        ("and not in it", |_, it| drop(it.pop())),
        ("is no file", |_, it| (it[2].1, it[2].2) = (EntryType::Symlink, b"/etc/passwd".into())),
        ("is no file", |_, it| (it[2].1, it[2].2) = (EntryType::Link, b"/etc/passwd".into())),
        ("is no file", |_, it| (it[2].1, it[2].2) = (EntryType::Fifo, vec![])),
        ("is no file", |_, it| (it[2].1, it[2].2) = (EntryType::Char, vec![])),
        ("is no file", |_, it| {
            it.insert(0, ("././@LongLink".into(), EntryType::GNULongName, vec![b'x'; 1 << 20]));
        }),
        ("has another size", |_, it| it[2].2.push(0)),
        ("is not what its manifest says", |_, it| it[2].2[0] ^= 1),
        ("not the one that its hash says", |_, it| it[1].2[0] ^= 1),
        ("is larger than", |_, it| it[1].2 = vec![b'0'; 1 << 20]),
    ];
    for (said, harm) in cases {
        let (world, stored, _) = world();
        let mut entries = entries(&stored);
        harm(&stored, &mut entries);
        pack(&world, &entries);
        let error = import(&world).expect(Exit::Refused).one("error");
        assert_eq!(error["kind"], "hostile_archive", "{error}");
        assert!(error["message"].as_str().unwrap().contains(said), "{said}: {error}");
        assert_nothing_there(&world);
    }
}

#[test]
fn a_manifest_in_an_archive_must_be_one_of_ours() {
    let cases: [(&str, Value, &str); 6] = [
        ("/backup_id", "20260101T000000Z-000000".into(), "is that of 20260101"),
        ("/format", 99.into(), "format 99"),
        ("/files/0/path", "../../evil".into(), "no file of a dump"),
        ("/files/0/path", "dump/3001.dat.gz".into(), "twice"),
        ("/bytes", 1.into(), "do not add up"),
        ("/tables", "none".into(), "cannot be read"),
    ];
    for (pointer, value, said) in cases {
        let (world, stored, _) = world();
        let mut manifest = stored.manifest();
        *manifest.pointer_mut(pointer).unwrap() = value;
        let mut entries = entries(&stored);
        let front = front(&stored, &manifest.to_string());
        entries.splice(0..2, front);
        pack(&world, &entries);
        let error = import(&world).expect(Exit::Refused).one("error");
        assert!(error["message"].as_str().unwrap().contains(said), "{said}: {error}");
        assert_nothing_there(&world);
    }
}

#[test]
fn what_does_not_fit_on_the_disk_is_refused_before_it_is_written() {
    let (world, stored, _) = world();
    let mut manifest = stored.manifest();
    manifest["files"][0]["bytes"] = (1_u64 << 60).into();
    manifest["bytes"] = ((1_u64 << 60) + 5013).into();
    let mut entries = entries(&stored);
    entries.splice(0..2, front(&stored, &manifest.to_string()));
    pack(&world, &entries);
    let error = import(&world).expect(Exit::Unavailable).one("error");
    assert!(error["message"].as_str().unwrap().contains("are free"), "{error}");
    assert_nothing_there(&world);
}

#[test]
fn an_archive_that_does_not_begin_with_its_manifest_is_no_archive_of_ours() {
    let (world, stored, _) = world();
    let mut entries = entries(&stored);
    entries.swap(0, 2);
    pack(&world, &entries);
    let error = import(&world).expect(Exit::Usage).one("error");
    assert!(error["message"].as_str().unwrap().contains("does not begin with"), "{error}");
    for input in ["", "hello", "PGDMP"] {
        fs::write(world.path("backup.tar.gz"), input).unwrap();
        let _ = import(&world).expect(Exit::Usage);
    }
    assert_nothing_there(&world);
}

#[test]
fn a_crash_at_any_point_leaves_a_whole_backup_or_none_and_the_next_import_goes_through() {
    for point in Point::STORE {
        let (world, stored, _) = world();
        let _ = export(&world, &stored).expect(Exit::Ok);
        let world = world.env("MIGRATE_FAULT", point.name());
        let killed = world.run_with_file("migrate-backup import --backups other", "backup.tar.gz");
        assert_eq!(killed.status.code(), None, "{point:?} was not reached");
        let world = world.without_env("MIGRATE_FAULT");
        let row = world.run("migrate-backup list --backups other").expect(Exit::Ok).one("backup");
        let expected = if point == Point::AfterPublish { "complete" } else { "partial" };
        assert_eq!(row["state"], expected, "{point:?}");
        let imported = import(&world).expect(Exit::Ok).one("backup.imported");
        assert_eq!(imported["already_there"], expected == "complete");
        let line = format!("migrate-backup verify {} --backups other", stored.id);
        let _ = world.run(&line).expect(Exit::Ok);
        let names = fs::read_dir(world.path("other")).unwrap();
        assert_eq!(names.filter(|it| it.as_ref().unwrap().path().is_dir()).count(), 1);
    }
}

#[test]
fn what_is_imported_is_for_its_owner_alone_whatever_the_umask_is() {
    let (world, stored, _) = world();
    let _ = export(&world, &stored).expect(Exit::Ok);
    let line = "umask 0; migrate-backup import --backups other < backup.tar.gz";
    let _ = world.shell(line).expect(Exit::Ok);
    let mut command = Command::new("find");
    let open = command.arg(world.path("other")).args(["-perm", "/077"]).output().unwrap();
    assert_eq!(String::from_utf8(open.stdout).unwrap(), "");
}

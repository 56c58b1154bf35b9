//! `migrate-backup verify --level checksum`: whatever was changed in a stored backup is found and named.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use migrate_core::exit::Exit;
use migrate_tests::{
    Outcome, World,
    stored::{Stored, sha256, write_manifest},
};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

/// A world without any database, and one backup in its store.
fn world() -> (World, Stored, PathBuf) {
    let world = World::at(String::new());
    let stored = Stored::at("2026-11-24T10:00:00");
    let folder = stored.write(&world.path("backups"));
    (world, stored, folder)
}

fn verify(world: &World, stored: &Stored) -> Outcome {
    world.run(&format!("migrate-backup verify {}", stored.id))
}

/// The damages, as `object kind`.
#[track_caller]
fn damages(world: &World, stored: &Stored) -> Vec<String> {
    let damaged = verify(world, stored).expect(Exit::No).one("backup.damaged");
    assert_eq!(damaged["backup_id"], stored.id);
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    let damages = damaged["damages"].as_array().unwrap();
    damages.iter().map(|it| format!("{} {}", text(&it["object"]), text(&it["kind"]))).collect()
}

#[test]
fn a_whole_backup_is_proven_and_the_proof_can_be_handed_on() {
    let (world, stored, folder) = world();
    let verified = verify(&world, &stored).expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["backup_id"], stored.id);
    assert_eq!(verified["level"], "checksum");
    assert_eq!(verified["system_identifier"], stored.system_identifier);
    assert_eq!(verified["database"], "shop");
    assert_eq!(verified["created_at"], stored.created_at);
    assert_eq!(verified["audit"], "not_asked");
    assert_eq!(verified["files"], 4);
    let manifest = fs::read(folder.join("manifest.json")).unwrap();
    assert_eq!(verified["manifest_sha256"], sha256(&manifest));
}

#[test]
fn every_kind_of_damage_is_found_and_named_by_its_file() {
    type Harm = fn(&Path);
    let cases: [(&str, Harm); 16] = [
        ("dump/toc.dat missing", |it| fs::remove_file(it.join("dump/toc.dat")).unwrap()),
        ("dump missing", |it| fs::remove_dir_all(it.join("dump")).unwrap()),
        ("dump/9.dat extra", |it| fs::write(it.join("dump/9.dat"), "").unwrap()),
        ("dump/.hidden extra", |it| fs::create_dir(it.join("dump/.hidden")).unwrap()),
        ("notes extra", |it| fs::write(it.join("notes"), "").unwrap()),
        ("dump/toc.dat size", |it| fs::write(it.join("dump/toc.dat"), "PGDMP").unwrap()),
        ("dump/toc.dat sha256", |it| {
            fs::write(it.join("dump/toc.dat"), "PGDMP table of contentS").unwrap();
        }),
        ("dump/toc.dat not_a_file", |it| {
            let path = it.join("dump/toc.dat");
            fs::rename(&path, it.parent().unwrap().join("toc.dat")).unwrap();
            symlink("../../toc.dat", path).unwrap();
        }),
        ("dump/toc.dat not_a_file", |it| {
            let path = it.join("dump/toc.dat");
            fs::remove_file(&path).unwrap();
            mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        }),
        ("dump/toc.dat not_a_file", |it| {
            fs::remove_file(it.join("dump/toc.dat")).unwrap();
            fs::create_dir(it.join("dump/toc.dat")).unwrap();
        }),
        ("dump/toc.dat hard_link", |it| {
            fs::hard_link(it.join("dump/toc.dat"), it.parent().unwrap().join("other")).unwrap();
        }),
        ("dump not_a_file", |it| {
            fs::rename(it.join("dump"), it.parent().unwrap().join("moved")).unwrap();
            symlink("../moved", it.join("dump")).unwrap();
        }),
        ("manifest.json hard_link", |it| {
            fs::hard_link(it.join("manifest.json"), it.parent().unwrap().join("other")).unwrap();
        }),
        ("manifest.json manifest", |it| fs::remove_file(it.join("manifest.json")).unwrap()),
        ("manifest.json manifest", |it| fs::remove_file(it.join("manifest.json.sha256")).unwrap()),
        ("manifest.json manifest", |it| {
            let path = it.join("manifest.json");
            fs::rename(&path, it.parent().unwrap().join("other")).unwrap();
            symlink("../other", path).unwrap();
        }),
    ];
    for (expected, harm) in cases {
        let (world, stored, folder) = world();
        harm(&folder);
        assert_eq!(damages(&world, &stored), [expected]);
    }
}

#[test]
fn two_files_that_changed_places_are_both_found() {
    let (world, mut stored, _) = world();
    stored.files[0].1 = vec![8; 5000];
    let folder = stored.write(&world.path("backups"));
    let (one, two) = (folder.join("dump/toc.dat"), folder.join("dump/3001.dat.gz"));
    fs::rename(&one, folder.join("x")).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(folder.join("x"), &two).unwrap();
    assert_eq!(damages(&world, &stored), ["dump/3001.dat.gz sha256", "dump/toc.dat sha256"]);
}

#[test]
fn a_manifest_that_leads_out_of_its_folder_or_contradicts_itself_is_no_manifest_of_ours() {
    for (pointer, value) in [
        ("/files/0/path", json!("dump/../manifest.json")),
        ("/files/0/path", json!("../other/dump/toc.dat")),
        ("/files/0/path", json!("/etc/passwd")),
        ("/files/0/path", json!("dump/sub/toc.dat")),
        ("/files/0/path", json!("dump/")),
        ("/files/0/path", json!("dump/..")),
        ("/files/0/path", json!("manifest.json")),
        ("/files/0/path", json!("dump/3001.dat.gz")),
        ("/bytes", json!(1)),
        ("/files/0/bytes", json!(u64::MAX)),
    ] {
        let (world, stored, folder) = world();
        let mut manifest = stored.manifest();
        *manifest.pointer_mut(pointer).unwrap() = value.clone();
        write_manifest(&folder, &manifest);
        let found = damages(&world, &stored);
        assert!(found.contains(&"manifest.json manifest".to_owned()), "{value}: {found:?}");
    }
}

/// Two hundred times one change of one byte, of a length, of a name, of a kind, drawn by chance.
#[test]
fn whatever_is_changed_by_chance_is_found() {
    let (world, stored, folder) = world();
    let files: Vec<PathBuf> = ["manifest.json", "manifest.json.sha256"]
        .into_iter()
        .map(PathBuf::from)
        .chain(stored.files.iter().map(|(name, _)| Path::new("dump").join(name)))
        .collect();
    let mut chance = 0x2545_f491_u64;
    let mut draw = |below: usize| {
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        usize::try_from(chance % below as u64).unwrap()
    };
    for round in 0..200 {
        fs::remove_dir_all(&folder).unwrap();
        stored.write(&world.path("backups"));
        let name = &files[draw(files.len())];
        let path = folder.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let what = match draw(5) {
            0 if !bytes.is_empty() => {
                let at = draw(bytes.len());
                bytes[at] ^= 1 << draw(8);
                fs::write(&path, &bytes).unwrap();
                format!("bit of byte {at}")
            }
            1 if !bytes.is_empty() => {
                bytes.truncate(draw(bytes.len()));
                fs::write(&path, &bytes).unwrap();
                format!("cut to {}", bytes.len())
            }
            2 => {
                let other = folder.join(&files[draw(files.len())]);
                let theirs = fs::read(&other).unwrap();
                if theirs == bytes {
                    continue;
                }
                fs::write(&other, &bytes).unwrap();
                fs::write(&path, theirs).unwrap();
                format!("swapped with {}", other.display())
            }
            3 => {
                let extra = folder.join(["dump", "."][draw(2)]).join(format!("x{}", draw(1000)));
                fs::write(&extra, &bytes).unwrap();
                format!("added {}", extra.display())
            }
            _ => {
                let away = world.path("away");
                fs::rename(&path, &away).unwrap();
                symlink(&away, &path).unwrap();
                "made a link".to_owned()
            }
        };
        let outcome = verify(&world, &stored);
        assert_eq!(outcome.status.code(), Some(1), "{round}: {} {what}: {outcome}", name.display());
        assert_eq!(outcome.types(), ["backup.damaged"]);
    }
}

#[test]
fn damage_is_kept_and_listed_until_the_backup_is_proven_again() {
    let (world, stored, folder) = world();
    let toc = folder.join("dump/toc.dat");
    let good = fs::read(&toc).unwrap();
    fs::write(&toc, "x").unwrap();
    let _ = verify(&world, &stored).expect(Exit::No);
    let row = world.run("migrate-backup list").expect(Exit::No).one("backup");
    assert_eq!((&row["state"], &row["proven"]), (&"damaged".into(), &Value::Null));
    fs::write(&toc, good).unwrap();
    let _ = verify(&world, &stored).expect(Exit::Ok);
    let row = world.run("migrate-backup list").expect(Exit::Ok).one("backup");
    assert_eq!((&row["state"], &row["proven"]), (&"complete".into(), &"checksum".into()));
}

#[test]
fn the_id_comes_out_of_a_pipe() {
    let (world, stored, _) = world();
    let created = format!("{{\"type\":\"backup.created\",\"backup_id\":\"{}\"}}\n", stored.id);
    let lines = format!("{{\"type\":\"backup.progress\"}}\n{created}");
    let verified = world.run_with_input("migrate-backup verify -", &lines).expect(Exit::Ok);
    assert_eq!(verified.one("backup.verified")["backup_id"], stored.id);
    let cases = [
        ("{\"type\":\"error\",\"message\":\"no space\"}\n", Exit::Refused, "no space"),
        (created.as_str(), Exit::Usage, "line 2"),
        ("{\"type\":\"other\"}\n", Exit::Refused, "no `backup.created` record"),
        ("", Exit::Refused, "no `backup.created` record"),
        ("{\"type\":\"backup.created\",\"backup_id\":\"../x\"}\n", Exit::Usage, "names no backup"),
    ];
    for (input, exit, said) in cases {
        let input = if said == "line 2" { format!("{input}nonsense\n") } else { input.to_owned() };
        let outcome = world.run_with_input("migrate-backup verify -", &input).expect(exit);
        let error = outcome.one("error");
        assert!(error["message"].as_str().unwrap().contains(said), "{error}");
    }
}

#[test]
fn the_latest_is_the_newest_of_one_database() {
    let (world, _, _) = world();
    let store = world.path("backups");
    let newest = Stored::at("2026-11-24T11:00:00");
    newest.write(&store);
    let latest = |line: &str| world.run(&format!("migrate-backup verify --latest {line}"));
    let verified = latest("").expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["backup_id"], newest.id);
    let other = Stored::at("2026-11-24T12:00:00").of("crm");
    other.write(&store);
    let error = latest("").expect(Exit::Usage).one("error");
    assert!(error["message"].as_str().unwrap().contains("several databases"), "{error}");
    let verified = latest("--database crm").expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["backup_id"], other.id);
    let _ = latest("--database none").expect(Exit::Usage);
}

#[test]
fn an_unknown_format_is_no_damage_and_nothing_is_said_about_it() {
    let (world, stored, folder) = world();
    let mut manifest = stored.manifest();
    manifest["format"] = 99.into();
    write_manifest(&folder, &manifest);
    let error = verify(&world, &stored).expect(Exit::Refused).one("error");
    assert_eq!(error["kind"], "unusable_backup");
    assert!(error["message"].as_str().unwrap().contains("format 99"), "{error}");
}

#[test]
fn who_removes_backups_is_waited_for_and_named() {
    let (world, stored, _) = world();
    let lock = File::create(world.path("backups/.lock")).unwrap();
    lock.lock().unwrap();
    let line = format!("migrate-backup verify {} --wait 50ms", stored.id);
    let error = world.run(&line).expect(Exit::Busy).one("error");
    let holder = format!("process {}", std::process::id());
    assert!(error["message"].as_str().unwrap().contains(&holder), "{error}");
    lock.unlock().unwrap();
    let _ = world.run(&line).expect(Exit::Ok);
}

/// Appends to the ledger's audit log what `create` writes there.
fn audit(world: &World, stored: &Stored, manifest_sha256: &str) {
    let details = json!({ "type": "backup.created", "manifest_sha256": manifest_sha256 });
    let canonical = json!({ "details": details }).to_string();
    let append = source_of_append();
    let now = std::time::SystemTime::now();
    let none: Option<String> = None;
    world
        .client()
        .query(&append, &[&now, &"t", &"backup.created", &stored.id, &none, &canonical])
        .unwrap();
}

fn source_of_append() -> String {
    migrate_tests::source::read("migrate-core/sql/audit_append.sql").replace("{ledger}", "public")
}

/// A world with a database that has a ledger, and a backup of that database.
fn world_with_ledger() -> (World, Stored, PathBuf) {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let mut stored = Stored::at("2026-11-24T10:00:00");
    stored.database = world.query("current_database()");
    stored.system_identifier = world.query("(select system_identifier from pg_control_system())");
    let folder = stored.write(&world.path("backups"));
    (world, stored, folder)
}

#[test]
fn a_manifest_made_anew_with_its_hash_is_found_by_the_audit_log() {
    let (world, stored, folder) = world_with_ledger();
    let verified = verify(&world, &stored).expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["audit"], "not_found");
    audit(&world, &stored, verified["manifest_sha256"].as_str().unwrap());
    let verified = verify(&world, &stored).expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["audit"], "matches");
    let mut manifest = stored.manifest();
    manifest["rows"] = 41.into();
    write_manifest(&folder, &manifest);
    assert_eq!(damages(&world, &stored), ["manifest.json manifest"]);
    let text = world.run(&format!("migrate-backup verify {} --output text", stored.id)).stdout;
    assert!(text.contains("of the audit log says"), "{text}");
}

#[test]
fn without_the_database_a_backup_is_proven_as_far_as_it_goes_and_that_is_said() {
    let (world, mut stored, _) = world_with_ledger();
    stored.database = "another".to_owned();
    stored.write(&world.path("backups"));
    let verified = verify(&world, &stored).expect(Exit::Ok).one("backup.verified");
    assert_eq!(verified["audit"], "other_database");
    let line = format!(
        "migrate-backup verify {} --database-url 'host=127.0.0.1 port=1 connect_timeout=2'",
        stored.id
    );
    let verified = world.run(&line).expect(Exit::Ok);
    assert_eq!(verified.one("backup.verified")["audit"], "not_reachable");
    assert!(verified.stderr.contains("the audit log was not asked"), "{verified}");
}

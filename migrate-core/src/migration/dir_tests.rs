//! Folders as they are found in the wild, and those that are refused.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    time::Instant,
};

use super::{super::checksum::checksum, *};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn error(dir: &tempfile::TempDir) -> String {
    read_dir(dir.path()).unwrap_err().to_string()
}

#[test]
fn migrations_come_in_the_order_of_their_versions() {
    let dir = folder(&[
        ("10_c.sql", "-- risk: low\nc"),
        ("9_b.up.sql", "b"),
        ("9_b.down.sql", "-- b"),
        ("1_a.sql", "-- migrate:up\na\n-- migrate:down\n-- a"),
        ("11_d.up.sql", "d"),
        ("README.md", "x"),
        (".gitkeep", ""),
        ("1_a.sql~", "x"),
    ]);
    fs::create_dir(dir.path().join("old.sql")).unwrap();
    let found = read_dir(dir.path()).unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|m| (m.version.as_str(), m.name.as_str(), m.file.as_str(), m.down.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            ("1", "a", "1_a.sql", true),
            ("9", "b", "9_b.up.sql", true),
            ("10", "c", "10_c.sql", false),
            ("11", "d", "11_d.up.sql", false),
        ]
    );
    assert_eq!(found[0].down_checksum, found[0].down.as_ref().map(|down| checksum(&down.text)));
    assert_eq!(found[1].down_checksum, Some(checksum("-- b")));
    assert_eq!(found[2].risk, Some(super::super::risk::Risk::Low));
}

#[test]
fn an_empty_folder_has_no_migrations() {
    assert_eq!(read_dir(folder(&[]).path()).unwrap().len(), 0);
}

#[test]
fn two_files_of_one_version_are_refused() {
    for (files, expected) in [
        (["9_a.sql", "009_b.sql"], "9_a.sql: `009_b.sql` has the version 9 too"),
        (["9_a.up.sql", "9_a.sql"], "9_a.up.sql: `9_a.sql` has the version 9 too"),
        (["9_a.up.sql", "9_b.down.sql"], "9_b.down.sql: `9_a.up.sql` has the version 9 too"),
        (["9_a.sql", "9_a.down.sql"], "9_a.down.sql: `9_a.sql` has the version 9 too"),
        (["8_a.sql", "9_a.down.sql"], "9_a.down.sql: there is no `9_a.up.sql`"),
    ] {
        assert_eq!(error(&folder(&files.map(|name| (name, "x")))), expected);
    }
}

#[test]
fn only_regular_files_are_opened() {
    let dir = folder(&[("1_a.sql", "x")]);
    symlink("/dev/zero", dir.path().join("2_b.sql")).unwrap();
    assert_eq!(error(&dir), "2_b.sql: this is a symbolic link, and only regular files are read");
    let dir = folder(&[]);
    let pipe = dir.path().join("1_a.sql");
    rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0).unwrap();
    assert_eq!(error(&dir), "1_a.sql: this is a pipe, and only regular files are read");
}

#[test]
fn names_that_cannot_be_shown_are_escaped() {
    let dir = folder(&[]);
    fs::write(dir.path().join(OsStr::from_bytes(b"1_\xff.sql")), "").unwrap();
    assert_eq!(error(&dir), r"1_\xff.sql: the name is not UTF-8");
}

#[test]
fn a_folder_that_everybody_can_write_to_is_refused() {
    let dir = folder(&[]);
    for (mode, expected) in [(0o777, false), (0o1777, true), (0o775, true)] {
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(read_dir(dir.path()).is_ok(), expected, "{mode:o}");
    }
}

#[test]
fn a_missing_folder_is_named_with_a_way_to_make_it() {
    let missing = folder(&[]).path().join("nothing");
    let error = read_dir(&missing).unwrap_err();
    assert!(error.to_string().ends_with("nothing"), "{error}");
    assert!(error.hint().unwrap().contains("migrate-apply new"));
}

#[test]
fn the_first_error_by_name_is_told_whatever_thread_finds_it() {
    let names: Vec<_> = (1000..1500).map(|n| format!("{n}_a.sql")).collect();
    let mut files: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    files[100].1 = "-- risk: x";
    files[400].1 = "-- risk: y";
    assert!(error(&folder(&files)).starts_with("1100_a.sql:1:1"));
}

#[test]
fn thousands_of_small_files_take_a_moment() {
    let names: Vec<_> = (1..=5000).map(|n| format!("{n}_a.sql")).collect();
    let text =
        "-- migrate:up\ncreate table t (id bigint primary key);\n-- migrate:down\ndrop table t;\n";
    let dir = folder(&names.iter().map(|name| (name.as_str(), text)).collect::<Vec<_>>());
    let start = Instant::now();
    assert_eq!(read_dir(dir.path()).unwrap().len(), 5000);
    // Generous, for a debug build on a busy machine; a release build takes about 10 ms.
    assert!(start.elapsed().as_secs() < 3, "{:?}", start.elapsed());
}

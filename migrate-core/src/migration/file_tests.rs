//! How a file falls into up and down, and what is refused.

use super::*;

fn one(text: &str) -> File {
    parse("1_a.sql", text.as_bytes().to_vec()).unwrap()
}

fn error(file: &str, bytes: &[u8]) -> String {
    parse(file, bytes.to_vec()).unwrap_err().to_string()
}

fn parts(file: &File) -> [Option<(&str, u32, bool)>; 2] {
    [&file.up, &file.down].map(|script| {
        script.as_ref().map(|script| (&*script.text, script.first_line, script.transaction))
    })
}

#[test]
fn a_file_falls_into_its_parts() {
    for (text, expected) in [
        ("", [Some(("", 1, true)), None]),
        ("-- c\nselect 1;", [Some(("-- c\nselect 1;", 1, true)), None]),
        ("-- c\n\n-- migrate:up\nselect 1;\n", [Some(("select 1;\n", 4, true)), None]),
        (
            "\u{feff}-- migrate:up transaction:false\r\na;\r\n-- migrate:down\r\nb;\r\n",
            [Some(("a;\r\n", 2, false)), Some(("b;\r\n", 4, true))],
        ),
        (
            "/* c */\n  --MIGRATE:UP\n  --migrate:down transaction:false",
            [Some(("", 3, true)), Some(("", 4, false))],
        ),
    ] {
        assert_eq!(parts(&one(text)), expected, "{text}");
    }
}

#[test]
fn a_pair_has_its_options_in_its_own_files() {
    let up = parse("1_a.up.sql", b"-- migrate:up transaction:false\nx".to_vec()).unwrap();
    assert_eq!(parts(&up), [Some(("x", 2, false)), None]);
    let down = parse("1_a.down.sql", b"x".to_vec()).unwrap();
    assert_eq!(parts(&down), [None, Some(("x", 1, true))]);
    let expected = "1_a.down.sql:1:1: the marker doesn't fit the file's name";
    assert_eq!(error("1_a.down.sql", b"-- migrate:up\nx"), expected);
}

#[test]
fn line_ends_and_a_bom_do_not_change_the_checksum() {
    let checksum = one("-- migrate:up\nselect 1;\n").checksum;
    assert_eq!(one("\u{feff}-- migrate:up\r\nselect 1;\r\n").checksum, checksum);
    assert_ne!(one("-- migrate:up\nselect 1; \n").checksum, checksum);
}

#[test]
fn batches_belong_to_the_part_they_stand_in() {
    let line = "-- migrate:batch table=t key=id\n";
    let file = one(&format!("-- migrate:up\n{line}a;\n-- migrate:down\n{line}b;\n{line}c;"));
    let lines = |script: Option<Script>| {
        script.unwrap().batches.iter().map(|batch| batch.line).collect::<Vec<_>>()
    };
    assert!(file.up.as_ref().unwrap().has_batch());
    assert_eq!(lines(file.up), [2]);
    assert_eq!(lines(file.down), [5, 7]);
}

#[test]
fn markers_in_the_wrong_place_are_refused() {
    for (text, expected) in [
        ("select 1;\n-- migrate:up\n", "1:1: this stands before the marker in line 2"),
        ("/*\n-- migrate:up\n", "1:1: this stands before the marker in line 2"),
        (
            "-- migrate:batch table=t key=a\n-- migrate:up\n",
            "1:1: this stands before the marker in line 2",
        ),
        (
            "-- migrate:down\n-- migrate:up\n",
            "2:1: `-- migrate:up` stands behind `-- migrate:down`",
        ),
        ("a;\n-- migrate:down\n", "2:1: there is no `-- migrate:up` before `-- migrate:down`"),
        ("-- migrate:up\n -- migrate:up\n", "2:2: the marker stands in line 1 already"),
        ("-- migrate:up now\n", "1:1: `now` is not an option of a marker"),
        ("a\n-- migrate:undo\n", "2:1: `migrate:undo` is not a directive"),
        ("-- risk: none\n", "1:1: `none` is not a risk: expected low, medium or high"),
    ] {
        assert_eq!(error("1_a.sql", text.as_bytes()), format!("1_a.sql:{expected}"), "{text}");
    }
}

#[test]
fn what_is_not_utf8_text_is_refused_with_the_byte() {
    for (bytes, expected) in [
        (&b"\xff\xfea\0"[..], "the text is UTF-16, from byte 0"),
        (b"ab\0", "NUL byte at byte 2"),
        (b"a\xc3(", "the text is not UTF-8 at byte 1"),
    ] {
        assert_eq!(error("1_a.sql", bytes), format!("1_a.sql: {expected}"));
    }
}

#[test]
fn scripts_of_comments_are_empty() {
    for (text, expected) in
        [("", true), ("-- c\n;", true), ("begin; commit;", true), ("x", false), ("'", false)]
    {
        assert_eq!(one(text).up.unwrap().is_empty(), expected, "{text}");
    }
}

#[test]
fn a_wrapped_script_runs_as_its_content() {
    let script = one("begin;\nselect 1;\ncommit;").up.unwrap();
    assert!(script.check().unwrap().wrapped);
    let statements: Vec<_> = script.statements().collect::<Result<_>>().unwrap();
    assert_eq!(
        statements.iter().map(|s| (s.text(&script.text), s.line)).collect::<Vec<_>>(),
        [("select 1", 2)]
    );
}

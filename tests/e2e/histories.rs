//! Whole histories end where psql ends that runs the same files one by one, up and down again.

use std::{fmt::Write, fs, process::Command};

use migrate_core::exit::Exit;
use migrate_tests::World;

/// What has caught splitters out, in the order in which it runs.
const NASTY: [(&str, &str); 12] = [
    ("0.1_empty.sql", ""),
    ("1.1_types and names.sql", include_str!("histories/types.sql")),
    ("1.2_[2.0.0] quotes é.up.sql", include_str!("histories/quotes.up.sql")),
    ("1.10_routines.sql", include_str!("histories/routines.sql")),
    ("2_copy.sql", include_str!("histories/copy.sql")),
    ("3_settings.sql", include_str!("histories/settings.sql")),
    (
        "4_path_is_back.sql",
        "-- migrate:up\ncreate table plain ()\n-- migrate:down\ndrop table plain",
    ),
    ("5_concurrently.sql", include_str!("histories/concurrently.sql")),
    ("5.1_index.up.sql", INDEX_UP),
    ("6_wrapped.sql", include_str!("histories/wrapped.sql")),
    ("7_nothing.sql", "-- migrate:up\n-- not; even\n/* this; /* nested */ */\n;;\n-- migrate:down"),
    ("9_windows.sql", include_str!("histories/windows.sql")),
];

/// Files without a marker, of which nothing can run in a transaction.
const INDEX_UP: &str = "create index concurrently people_score on people (score);\n\
                        -- and another\ncreate index concurrently on people (mood)";
const INDEX_DOWN: &str =
    "drop index concurrently people_score; drop index concurrently people_mood_idx";

#[test]
fn a_nasty_history_ends_where_psql_ends() {
    let mut files: Vec<(String, String)> =
        NASTY.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    files.push(("10_rows.sql".to_owned(), many_rows()));
    let down = include_str!("histories/quotes.down.sql");
    let mut ours = World::new()
        .migration("1.2_[2.0.0] quotes é.down.sql", down)
        .migration("5.1_index.down.sql", INDEX_DOWN);
    for (name, text) in &files {
        ours = ours.migration(name, text);
    }
    let psql = World::new();

    let _ = ours.run("migrate-apply up --ledger-schema ledger").expect(Exit::Ok);
    for (name, text) in &files {
        run_psql(&psql, up_part(text), &format!("{name}, up"), runs_in_transaction(text));
    }
    assert_eq!(ours.dump(), psql.dump(), "after up");

    let _ = ours.run("migrate-apply down --target 0.1 --ledger-schema ledger").expect(Exit::Ok);
    for (name, text) in files.iter().skip(1).rev() {
        let text = match name.as_str() {
            "5.1_index.up.sql" => INDEX_DOWN,
            _ if name.contains(".up.") => down,
            _ => down_part(text),
        };
        run_psql(&psql, text, &format!("{name}, down"), runs_in_transaction(text));
    }
    assert_eq!(ours.dump(), psql.dump(), "after down");
}

#[test]
fn the_output_of_pg_dump_is_a_migration() {
    let source = World::new();
    for (_, text) in NASTY {
        run_psql(&source, up_part(text), "the source", runs_in_transaction(text));
    }
    let text = source.pg_dump();
    let ours = World::new()
        .migration("1_baseline.sql", &text)
        .migration("2_path_is_back.sql", "create table plain_2 ()");
    let _ = ours.run("migrate-apply up --ledger-schema ledger").expect(Exit::Ok);
    source.execute("create table plain_2 ()");
    assert_eq!(ours.dump(), source.dump());
}

/// So many rows that they share messages, with statements among them that must not.
fn many_rows() -> String {
    let mut text = "-- migrate:up\ncreate table many (id int, t text);\n".to_owned();
    for row in 0..1500 {
        match row {
            700 => text += "copy many from stdin;\n700\tby copy;\n\\.\n",
            800 => {
                text += "set standard_conforming_strings = off;\ninsert into many values (800, 'it\\'s;');\nset standard_conforming_strings = on;\n"
            }
            900 => text += "\\restrict x\n\\unrestrict x\n",
            _ => writeln!(text, "insert into many values ({row}, 'é;{row}\\');").unwrap(),
        }
    }
    text + "-- migrate:down\ndrop table many"
}

fn runs_in_transaction(text: &str) -> bool {
    !text.contains("transaction:false") && ![INDEX_UP, INDEX_DOWN].contains(&text)
}

fn up_part(text: &str) -> &str {
    let text = text.split_once("-- migrate:up").map_or(text, |(_, rest)| rest);
    text.split_once("-- migrate:down")
        .map_or(text, |(up, _)| up)
        .trim_start_matches(" transaction:false")
}

fn down_part(text: &str) -> &str {
    text.split_once("-- migrate:down").map_or("", |(_, rest)| rest)
}

fn run_psql(world: &World, sql: &str, what: &str, transaction: bool) {
    let file = world.path("psql.sql");
    fs::write(&file, sql.trim_start_matches(" transaction:false")).unwrap();
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", world.url(), "-f"]).arg(file);
    if transaction {
        psql.arg("-1");
    }
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

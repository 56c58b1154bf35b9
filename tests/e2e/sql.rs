//! Every SQL file is valid on a real server, whether or not another test runs it.

use std::{fs, path::PathBuf};

use migrate_tests::{World, source};

#[test]
fn every_sql_file_says_what_it_is_for_and_prepares() {
    let (mut tables, others): (Vec<PathBuf>, Vec<PathBuf>) = source::files("sql")
        .into_iter()
        .filter(|path| path.parent().is_some_and(|it| it.ends_with("sql")))
        .partition(|path| path.to_string_lossy().ends_with("_create.sql"));
    // In the order of their references.
    tables.sort_by_key(|path| {
        ["locks", "history"].iter().all(|it| !path.to_string_lossy().contains(it))
    });
    let mut client = World::new().client();
    for path in tables.iter().chain(&others) {
        let sql = fs::read_to_string(path).unwrap();
        assert!(!sql.contains("'{ledger}"), "{}: in quotes it is {{ledger:text}}", path.display());
        let sql = sql.replace("{ledger}", "public").replace("{ledger:text}", "public");
        assert!(sql.starts_with("-- "), "{} does not say what it is for", path.display());
        // Several statements, or one that cannot be prepared.
        let simple = tables.contains(path)
            || ["session_settings.sql", "cleanup.sql", "cleanup_left_over.sql"]
                .iter()
                .any(|it| path.ends_with(it));
        let result =
            if simple { client.batch_execute(&sql) } else { client.prepare(&sql).map(drop) };
        assert!(result.is_ok(), "{}: {result:?}", path.display());
    }
    assert!(others.len() > 20, "the files were not found");
}

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
    client.batch_execute("create extension pg_stat_statements").unwrap();
    for path in tables.iter().chain(&others) {
        let sql = fs::read_to_string(path).unwrap();
        assert!(!sql.contains("'{ledger}"), "{}: in quotes it is {{ledger:text}}", path.display());
        let sql = sql.replace("{ledger}", "public").replace("{ledger:text}", "public");
        let sql = sql.replace("{statements}", "public.pg_stat_statements");
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

#[test]
fn every_check_and_metric_prepares() {
    let world = World::new();
    let _ = world.run("migrate-lock acquire");
    let mut client = world.client();
    let mut seen = 0;
    for path in source::files("sql") {
        let folder = path.parent().and_then(|it| it.file_name()).unwrap_or_default();
        if folder != "checks" && folder != "metrics" {
            continue;
        }
        let sql = fs::read_to_string(&path).unwrap().replace("{ledger}", "public");
        let result = client.prepare(&sql);
        assert!(result.is_ok(), "{}: {:?}", path.display(), result.err());
        seen += 1;
    }
    assert!(seen > 30, "the files were not found");
}

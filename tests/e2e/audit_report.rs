//! `migrate-audit report`: one page that needs nothing else, whatever stands in names and messages.

use migrate_core::exit::Exit;
use migrate_tests::World;

const HOSTILE: &str = "<script>alert(1)</script>";

/// A run that fails, with an approval, a wait, and names that would be markup.
fn world() -> (World, String) {
    let world = World::new()
        .file("migrate.toml", "[env.production.require]\napprovals = 1\n")
        .env("MIGRATE_ENV", "production")
        .migration("1_a.sql", "-- estimate: 1ms\ncreate table a (); select pg_sleep(0.1);")
        .migration(
            "2_b.sql",
            "-- migrate:up transaction:false\ncreate index concurrently i on a ((1));",
        )
        .migration("3_c.sql", &format!("select * from \"{HOSTILE}\""));
    let approve = format!("migrate-apply plan | migrate-audit approve - --as 'bob {HOSTILE}'");
    let _ = world.shell(&approve).expect(Exit::Ok);
    let _ = world.shell("migrate-apply up > run.jsonl").expect(Exit::Failed);
    let _ = world.run(&format!("migrate-audit note 'too late & \"{HOSTILE}\"'")).expect(Exit::Ok);
    let page = world.run("migrate-audit report --records run.jsonl").expect(Exit::Ok).stdout;
    (world, page)
}

#[test]
fn a_report_of_a_run_tells_what_ran_what_failed_who_approved_and_where_the_chain_stood() {
    let (world, page) = world();
    let run = world.query("select run_id from _migration_audit_log where action = 'apply.started'");
    let head = "select id || ':' || encode(hash, 'hex') from _migration_audit_log order by id desc limit 1";
    for words in [
        format!("<h1>Migration run {run} on {}</h1>", world.query("current_database()")).as_str(),
        "<span class=\"badge bad\">Failed</span>",
        "migration 3 `c` failed",
        "3_c.sql:1:15",
        "42P01",
        "1 ms (exceeded)",
        "statement 1, CREATE INDEX CONCURRENTLY",
        "statement 2, SELECT",
        "as stated by role postgres",
        "<td>approvals</td><td class=\"good\">pass</td>",
        "migration lock",
        &world.query(head),
    ] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    let alone = world.run(&format!("migrate-audit report --run {run}")).expect(Exit::Ok).stdout;
    assert!(alone.contains("migration 3 `c` failed") && !alone.contains("<h2>Gates"), "{alone}");
    let last = world.run("migrate-audit report").expect(Exit::Ok).stdout;
    assert!(last.contains(&run));
    let period = world.run("migrate-audit report --since 1h").expect(Exit::Ok).stdout;
    assert!(
        period.contains("too late &amp; \"&lt;script&gt;")
            || period.contains("too late &amp; &quot;&lt;script&gt;"),
        "{period}"
    );
}

#[test]
fn what_stands_in_names_and_messages_is_never_markup() {
    let (world, page) = world();
    let period = world.run("migrate-audit report --since 1h").expect(Exit::Ok).stdout;
    for page in [page, period] {
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("default-src 'none'"), "{page}");
        // Nothing is fetched from anywhere.
        for bad in ["http:", "https:", "src=", "href=", "url(", "@import"] {
            assert!(!page.contains(bad), "{bad} in {page}");
        }
    }
}

#[test]
fn a_report_can_be_read_by_everybody() {
    let (_, page) = world();
    for words in [
        "<!DOCTYPE html><html lang=\"en\">",
        "name=\"viewport\"",
        "<title>Migration run ",
        "role=\"img\" aria-labelledby=\"timeline-title timeline-desc\"",
        "<title id=\"timeline-title\">Timeline</title><desc id=\"timeline-desc\">",
        "<th scope=\"col\">Version</th>",
        "prefers-color-scheme: dark",
        "@media print",
        "<main>",
    ] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    assert_eq!(page.matches("<h1>").count(), 1);
}

#[test]
fn the_colours_of_a_report_stand_out_from_its_paper() {
    let css = migrate_tests::source::read("migrate-audit/src/report/style.css");
    let schemes: Vec<&str> = css.split("--paper:").skip(1).take(2).collect();
    for scheme in schemes {
        let scheme = scheme.split('}').next().unwrap();
        let colour = |name: &str| {
            let text = format!("--paper:{scheme}");
            let hex = text.split(&format!("--{name}: #")).nth(1).unwrap()[..6].to_owned();
            luminance(&hex)
        };
        for name in ["ink", "quiet", "good", "bad", "care", "blue", "violet"] {
            for ground in ["paper", "soft"] {
                let (one, other) = (colour(name), colour(ground));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= 4.5, "{name} on {ground}: {contrast:.2}");
            }
        }
    }
}

/// As WCAG 2 defines it.
fn luminance(hex: &str) -> f64 {
    let part = |index: usize| {
        let value = f64::from(u8::from_str_radix(&hex[index..index + 2], 16).unwrap()) / 255.0;
        if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

#[test]
fn a_report_of_nothing_is_refused_with_what_to_ask_for() {
    let world = World::new();
    let nothing = world.run("migrate-audit report").expect(Exit::Refused);
    assert_eq!(nothing.stdout, "", "an error is no page");
    let _ = world.run("migrate-audit note begin").expect(Exit::Ok);
    let none = world.run("migrate-audit report").expect(Exit::Usage);
    assert!(none.stderr.contains("no run is in the log"), "{none}");
    let unknown = world.run("migrate-audit report --run x").expect(Exit::Usage);
    assert!(unknown.stderr.contains("no run x is in the log"), "{unknown}");
    let world = world.file("empty.jsonl", "nothing\n");
    let _ = world.run("migrate-audit report --records empty.jsonl").expect(Exit::Usage);
    let _ = world.run("migrate-audit report --records missing.jsonl").expect(Exit::Unavailable);
}

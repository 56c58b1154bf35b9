//! The runbook's example, word for word: tests/fixtures/shop is also what tests/demo shows.

use std::fs;

use migrate_core::exit::Exit;
use migrate_tests::{World, source};

fn shop() -> World {
    with_files(World::new(), "tests/fixtures/shop")
}

fn with_files(mut world: World, folder: &str) -> World {
    for entry in fs::read_dir(format!("{}/{folder}", source::ROOT)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        world = world.migration(&name, &fs::read_to_string(&path).unwrap());
    }
    world
}

#[test]
fn validate_says_what_the_runbook_expects() {
    let world = shop();
    let _ = world.run("migrate-apply up --target 008").expect(Exit::Ok);
    let validated = world.run("migrate-apply validate --output text").expect(Exit::Ok);
    assert_eq!(
        validated.stdout,
        "✓ All migrations are valid\n\
         Pending migrations: 1\n\
         - 009_add_notification_system.sql (risk: medium)\n"
    );
    assert_eq!(validated.stderr, "");
}

#[test]
fn status_is_a_table_that_lines_up() {
    let world = shop();
    let _ = world.run("migrate-apply up --target 002").expect(Exit::Ok);
    world.execute(
        "update _migration_history
         set applied_at = '2026-03-10 12:00:00Z', execution_ms = 12 * id",
    );
    let status = world.run("migrate-apply status --output text").expect(Exit::Ok);
    assert_eq!(
        status.stdout,
        "\
VERSION  NAME                       STATE    RISK    APPLIED AT            TOOK
001      create_users               applied  low     2026-03-10 12:00:00Z  12 ms
002      create_products            applied  low     2026-03-10 12:00:00Z  24 ms
003      create_orders              pending  low
004      create_order_items         pending  low
005      load_sample_customers      pending  low
006      add_order_totals           pending  medium
007      keep_order_totals_current  pending  medium
008      index_orders_by_status     pending  low
009      add_notification_system    pending  medium
"
    );
    let csv = world.run("migrate-apply status --output csv").expect(Exit::Ok).stdout;
    assert_eq!(csv.lines().count(), 10, "{csv}");
    assert!(csv.starts_with("v,at,tool,type,version,name,state,risk,applied_at,"), "{csv}");
}

#[test]
fn a_row_of_status_can_be_found_by_its_file_name() {
    let world = shop();
    let rows = world.run("migrate-apply status").expect(Exit::Ok).stdout;
    let found: Vec<&str> = rows.lines().filter(|it| it.contains("009_")).collect();
    assert_eq!(found.len(), 1, "{rows}");
}

#[test]
fn every_migration_goes_up_down_and_up_again() {
    let world = shop();
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(world.query("select sum(total_cents) from orders"), "4160");
    assert_eq!(
        world.query(
            "select indisvalid from pg_index where indexrelid = 'orders_status_created_at_idx'::regclass"
        ),
        "true"
    );
    let _ = world.run("migrate-apply down --target 0").expect(Exit::Ok);
    let left = "select string_agg(relname, ' ') from pg_class
                where relnamespace = 'public'::regnamespace and relname !~ '^_migration'";
    assert_eq!(world.query(left), "null");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::Ok);
}

#[test]
fn a_failing_migration_is_named_with_its_place_and_leaves_nothing() {
    let world = with_files(shop(), "tests/fixtures/shop-broken");
    let failed = world.run("migrate-apply up --output text").expect(Exit::Failed);
    assert_eq!(
        failed.stderr,
        "\
migrate-apply: migration 010 `add_shipping_date` failed: 010_add_shipping_date.sql:4:19: \
column \"shiped_at\" of relation \"orders\" does not exist (SQLSTATE 42703)
UPDATE orders SET shiped_at = created_at WHERE status = 'shipped';
                  ^
  state: everything of this migration was rolled back; what was applied before it stays
"
    );
    assert!(failed.stdout.ends_with("; 1 pending\n"), "{failed}");
    let column = "select count(*) from pg_attribute
                  where attrelid = 'orders'::regclass and attname = 'shipped_at'";
    assert_eq!(world.query(column), "0");
}

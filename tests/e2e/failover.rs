//! A standby takes over while a migration runs: nothing goes on as if it were the same server.

use migrate_core::exit::Exit;
use migrate_tests::{Background, Cut, OwnServer, Proxy, World};

/// Stops in its transaction until the gate is open.
const GATED: &str = "create table t (); do $$ begin
    while not exists (select from gate) loop perform pg_sleep(0.01); end loop;
end $$;";

/// A primary with a standby, and a world that reaches the one that leads through a proxy.
fn replicated() -> (OwnServer, OwnServer, Proxy, World) {
    let primary = OwnServer::start(&[]);
    let direct = World::at(primary.url());
    direct.execute("create table gate ()");
    let standby = primary.standby();
    let proxy = Proxy::new(&direct);
    let url = proxy.url(&direct);
    (primary, standby, proxy, World::at(url))
}

fn run_until_gate(world: &World, primary: &World) -> Background {
    let up = world.spawn("migrate-apply up");
    primary.wait_for(
        "exists (select from pg_stat_activity where query like 'do%' and state = 'active')",
    );
    up
}

#[test]
fn a_run_does_not_go_on_at_a_server_that_took_over() {
    let (primary, standby, proxy, world) = replicated();
    let world = world.migration("1_gated.sql", GATED).migration("2_next.sql", "create table n ()");
    let (old, new) = (World::at(primary.url()), World::at(standby.url()));
    let up = run_until_gate(&world, &old);
    standby.take_over(&old);
    proxy.fail_over(&standby.url());
    let failed = up.finish().expect(Exit::Failed);
    assert_eq!(failed.one("error")["kind"], "connection_lost", "{failed}");
    assert!(failed.stderr.contains("a failover took place"), "{failed}");
    // On neither side is anything of it; the old primary has ended what was under way.
    old.wait_for("to_regclass('t') is null and not exists (select from pg_locks where locktype = 'advisory')");
    assert_eq!(new.query("to_regclass('t') is null and to_regclass('n') is null"), "true");

    // The lease came over with everything else, and no session can be looked at that held it.
    let busy = world.run("migrate-apply up --wait 100ms").expect(Exit::Busy);
    assert!(busy.stderr.contains("another server or timeline"), "{busy}");
    let _ = world.run("migrate-lock break --force --reason 'failed over'").expect(Exit::Ok);
    new.execute("insert into gate default values");
    let _ = world.run("migrate-apply up").expect(Exit::Ok);
    let _ = world.run("migrate-apply status --exit-code").expect(Exit::Ok);
}

#[test]
fn a_commit_that_the_new_primary_never_got_is_unknown_until_the_history_is_read() {
    let (primary, standby, proxy, world) = replicated();
    let world = world.migration("1_t.sql", "create table t ()").env("MIGRATE_RECONNECT", "20s");
    let (old, new) = (World::at(primary.url()), World::at(standby.url()));
    let _ = world.run("migrate-lock run -- true").expect(Exit::Ok);
    new.wait_for("to_regclass('_migration_history') is not null");
    standby.cut_off();
    proxy.cut("commit\0", 3, Cut::AfterAndStayAway);
    let up = world.spawn("migrate-apply up");
    old.wait_for("to_regclass('t') is not null");
    standby.promote();
    proxy.fail_over(&standby.url());
    let unknown = up.finish().expect(Exit::Unknown);
    assert_eq!(unknown.one("error")["kind"], "commit_unknown");
    assert_eq!(new.query("to_regclass('t') is null"), "true");

    let _ = world.run("migrate-lock break --force --reason 'failed over'");
    let again = world.run("migrate-apply up").expect(Exit::Ok);
    assert_eq!(again.of_type("migration.applied").len(), 1);
    assert_eq!(new.query("to_regclass('t') is null"), "false");
}

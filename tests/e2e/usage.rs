//! Wrong flags, wrong configuration, the wrong database: said in a line, before anything is done.

use std::{fs, os::unix::fs::PermissionsExt};

use migrate_core::exit::Exit;
use migrate_tests::World;

/// Exit 2, with these words on stderr and a hint or the way to help; nothing was made.
#[track_caller]
fn usage(world: &World, command: &str, words: &str) {
    let outcome = world.run(command).expect(Exit::Usage);
    assert!(outcome.stderr.contains(words), "{command}: {words}: {outcome}");
    let error = outcome.one("error");
    assert_eq!((&error["type"], &error["exit_code"]), (&"error".into(), &2.into()));
    assert!(outcome.stderr.lines().count() < 12, "too long: {outcome}");
    let made = "select count(*) from pg_class where relnamespace = 'public'::regnamespace";
    assert_eq!(world.query(made), "0", "{outcome}");
}

#[test]
fn wrong_flags_are_named() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    for (command, words) in [
        ("upp", "unrecognized subcommand 'upp'"),
        ("up --frob", "unexpected argument '--frob'"),
        ("up --target", "a value is required for '--target <VERSION>'"),
        ("up --target abc", "`abc` is not a version"),
        ("up --target 1 --steps 1", "cannot be used with"),
        ("up --steps many", "invalid value 'many'"),
        ("up --wait 5", "write it like 500ms, 30s or 15m"),
        ("up --plan x --target 1", "cannot be used with"),
        ("up --require-backup file", "only `-`, for stdin, is possible"),
        ("up --output xml", "[possible values: json, text, csv]"),
        ("-v -q up", "cannot be used with"),
        ("up extra", "unexpected argument 'extra'"),
        ("resolve 1", "--reason <TEXT>"),
        ("resolve 1 --as maybe --reason x", "[possible values: applied, pending]"),
        ("baseline", "<VERSION>"),
        ("baseline 77", "there is no migration 77"),
        ("new ''", "is not of the form `VERSION_name.sql`"),
        ("up --ledger-schema ''", "cannot be a schema's name"),
        ("up --database-url nonsense", "write `keyword=value` pairs"),
        ("up --database-url postgres://h:99999/x", "not a number from 1 to 65535"),
        ("up --database-url 'host=/x foo=bar'", "unknown connection parameter `foo`"),
        ("up --database-url service=nope", "there is no service `nope`"),
    ] {
        usage(&world, &format!("migrate-apply {command}"), words);
    }
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_its_line() {
    let mut world = World::new().migration("1_t.sql", "create table t ()");
    for (text, words) in [
        ("xx = 1", "migrate.toml:1: unknown field `xx`, expected one of `migrations`"),
        ("\n[env.x]\nfoo = 2", "migrate.toml:3: unknown field `foo`"),
        ("migrations = 3", "migrate.toml:1: invalid type: integer `3`"),
        ("[env.x\n", "migrate.toml:1: unclosed table"),
        ("migrations = 'a'\nmigrations = 'b'", "migrate.toml:2: duplicate key"),
        ("[env.x]\nretry_budget = '5'", "migrate.toml:2: time unit needed"),
        ("[env.x.require]\nmax_risk = 'huge'", "migrate.toml:2: unknown variant `huge`"),
        ("[env.x]\npin = { foo = 1 }", "migrate.toml:2: unknown field `foo`"),
        ("[env.x]\ndatabase_url_env = 'NOPE'", "the environment variable `NOPE` is not set"),
        ("[env.x]\nledger_schema = ''", "cannot be a schema's name"),
        ("[env.other]\n[env.another]", "hint: there are: another, other"),
        ("", "there is no environment `x` in migrate.toml"),
    ] {
        world = world.file("migrate.toml", text);
        usage(&world, "migrate-apply up --env x", words);
    }
    let world = world.env("MIGRATE_ENV", "nope");
    usage(&world, "migrate-apply up", "there is no environment `nope`");
    fs::write(world.path("migrate.toml"), b"\xff").unwrap();
    usage(&world, "migrate-apply up", "stream did not contain valid UTF-8");
    fs::write(world.path("migrate.toml"), "").unwrap();
    fs::set_permissions(world.path("migrate.toml"), fs::Permissions::from_mode(0o666)).unwrap();
    usage(&world, "migrate-apply up", "every user of this machine can write to it");
    fs::remove_file(world.path("migrate.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", world.path("migrate.toml")).unwrap();
    usage(&world, "migrate-apply up", "this is not a regular file");
}

#[test]
fn a_password_in_a_wrong_configuration_is_not_shown() {
    for text in [
        "[env.x]\ndatabase_url = 'host=/nowhere password=hunter2 oops'",
        "[env.x]\ndatabase_url = 'postgres://me:hunter2@localhost:port/db'",
        "[env.x]\ndatabase_url = 'postgres://me:hunter2@localhost:1/db'",
        "[env.x]\ndatabase_ulr = 'password=hunter2'",
        "[env.x]\ndatabase_url = 'password=hunter2\n",
    ] {
        let world = World::new().migration("1_t.sql", "select 1").file("migrate.toml", text);
        let outcome = world.shell("unset DATABASE_URL; migrate-apply -vv up --env x");
        assert!(!outcome.status.success(), "{outcome}");
        assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
    }
}

#[test]
fn a_database_url_of_another_database_does_not_become_production() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    let prod = world.url().replace("dbname=test", "password=hunter2 dbname=prod");
    let world =
        world.file("migrate.toml", &format!("[env.production]\ndatabase_url = \"{prod}\"\n"));
    let words = "but the environment `production` is";
    usage(&world, "migrate-apply up --env production", words);
    let said = world.run("migrate-apply up --env production");
    assert!(said.stderr.contains("/prod_") && said.stderr.contains("/test_"), "{said}");
    assert!(!format!("{said}").contains("hunter2"), "{said}");
    let own = world.url().to_owned();
    let world =
        world.file("migrate.toml", &format!("[env.production]\ndatabase_url = \"{own}\"\n"));
    let _ = world.run("migrate-apply up --env production").expect(Exit::Ok);
}

#[test]
fn a_pin_refuses_every_other_database() {
    let world = World::new().migration("1_t.sql", "create table t ()");
    for pin in ["database = 'other'", "system_identifier = '123'", "system_identifier = 123"] {
        let world = World::new()
            .migration("1_t.sql", "create table t ()")
            .file("migrate.toml", &format!("[env.x]\npin = {{ {pin} }}\n"));
        let refused = world.run("migrate-apply up --env x").expect(Exit::Refused);
        assert_eq!(refused.one("error")["kind"], "wrong_database");
        assert_eq!(world.query("to_regclass('_migration_locks') is null"), "true");
    }
    let system = world.query("(select system_identifier from pg_control_system())");
    let database = world.query("current_database()");
    let pin = format!("pin = {{ database = '{database}', system_identifier = {system} }}");
    let world = world.file("migrate.toml", &format!("[env.x]\n{pin}\n"));
    let _ = world.run("migrate-apply up --env x").expect(Exit::Ok);
}

#[test]
fn a_ledger_remembers_its_environment_and_its_gates() {
    let world = World::new()
        .migration("1_t.sql", "create table t ()")
        .file("migrate.toml", "[env.production.require]\nmax_risk = 'low'\n");
    let _ = world.run("migrate-apply up --env production").expect(Exit::Ok);
    let world = world.migration("2_t.sql", "-- risk: high\ndrop table t");
    for command in ["migrate-apply up --env production", "migrate-apply up"] {
        let refused = world.run(command).expect(Exit::Refused);
        let said = "migration 2 `t` has risk high, and max_risk is low";
        assert_eq!(refused.one("error")["message"], said);
    }
    let world = world.file("migrate.toml", "");
    let refused = world.run("migrate-apply up").expect(Exit::Refused);
    assert_eq!(refused.one("error")["kind"], "environment_unknown");
    assert_eq!(world.query("to_regclass('t') is not null"), "true");
}

#[test]
fn a_server_out_of_reach_is_named_without_the_password() {
    let world = World::new().migration("1_t.sql", "select 1");
    let missing = world.url().replace("dbname=test", "password=hunter2 dbname=nope");
    for (url, words) in [
        ("host=/nowhere dbname=x password=hunter2", "there is no socket /nowhere/.s.PGSQL.5432"),
        ("postgres://u:hunter2@127.0.0.1:1/db", "connection to 127.0.0.1:1 refused"),
        (&missing, "does not exist"),
    ] {
        for command in ["up", "status", "plan", "down", "resolve 1 --as applied --reason x"] {
            let outcome = world.run(&format!("migrate-apply {command} --database-url '{url}'"));
            let outcome = outcome.expect(Exit::Unavailable);
            assert!(outcome.stderr.contains(words), "{outcome}");
            assert!(outcome.stderr.contains("hint: "), "{outcome}");
            assert!(!format!("{outcome}").contains("hunter2"), "{outcome}");
        }
    }
}

#[test]
fn an_empty_variable_is_as_good_as_unset_but_an_empty_flag_is_a_mistake() {
    let world = World::new().env("MIGRATE_ENV", "");
    let _ = world.run("migrate-apply status").expect(Exit::Ok);
    let empty = world.run("migrate-apply status --env ''").expect(Exit::Usage);
    assert_eq!(empty.one("error")["message"], "there is no environment `` in migrate.toml");
}

#[test]
fn a_record_names_the_argument_that_lacks() {
    let lacks = World::new().run("migrate-lock release").expect(Exit::Usage);
    let said = "the following required arguments were not provided: --token <TOKEN>";
    assert_eq!(lacks.one("error")["message"], said);
}

//! A database with everything in it comes back equal, while its users never stop to write.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use migrate_core::{exit::Exit, inventory::Inventory};
use migrate_tests::World;
use postgres::{Client, NoTls};

use crate::inventory::{EVERYTHING, session};

const MORE: &str = include_str!("../fixtures/backup/more.sql");
const WRITERS: i32 = 12;

/// What does not stand in the inventory, as one text.
const BESIDES: &str = "
select string_agg(line, E'\\n' order by line) from (
    select format('owner %s limit %s encoding %s collate %s comment %s', pg_get_userbyid(datdba), datconnlimit,
                  encoding, datcollate, shobj_description(oid, 'pg_database')) as line
    from pg_database where datname = current_database()
    union all
    select 'acl ' || a.privilege_type || ' ' || a.grantee::regrole || ' ' || a.is_grantable
    from pg_database, aclexplode(datacl) as a where datname = current_database()
    union all
    select format('setting %s %s', setrole::regrole, unnest(setconfig))
    from pg_db_role_setting
    where setdatabase = (select oid from pg_database where datname = current_database())
    union all
    select format('large object %s %s %s %s %s', lo.oid, lomowner::regrole, lomacl, lo_get(lo.oid),
                  obj_description(lo.oid, 'pg_largeobject'))
    from pg_largeobject_metadata as lo
    union all
    select format('sequence %s.%s %s', schemaname, sequencename, last_value) from pg_sequences
    where sequencename not like all (array['\\_migration%', 'written%'])
    union all
    select format('row of %s: %s', t.name, t.content) from (
        select 'things' as name, t::text as content from app.things as t
        union all select 'owners', o::text from app.owners as o
        union all select 'events', e.tableoid::regclass || e::text from app.events as e
        union all select 'child', row(id, note, extra, late)::text from app.child
        union all select 'scratch', s::text from app.scratch as s
        union all select 'odd', o::text from \"Odd Name\".\"Ünïcode \"\"table\"\" 表\" as o
        union all select 'types', o::text from public.odd_types as o
        union all select 'totals', m::text from app.totals as m
    ) as t
) as lines";

/// What a user of the database has seen: which of the two it was, and when.
#[derive(Debug, Clone)]
struct Seen {
    word: String,
    asked: Instant,
    answered: Instant,
}

/// Connects again and again, writes a row, and asks which database this is.
fn write(url: &str, writer: i32, stop: &AtomicBool, seen: &Mutex<Vec<Seen>>) {
    while !stop.load(Ordering::SeqCst) {
        let asked = Instant::now();
        let word = Client::connect(url, NoTls).and_then(|mut client| {
            client.execute("insert into public.written (writer) values ($1)", &[&writer])?;
            Ok(client.query_one("select word from public.marker", &[])?.get::<_, String>(0))
        });
        // Whoever is cut off tries again, as an application does.
        if let Ok(word) = word {
            seen.lock().unwrap().push(Seen { word, asked, answered: Instant::now() });
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn besides(world: &World) -> String {
    let mut client = world.client();
    client.batch_execute("set search_path = pg_catalog; set datestyle = 'ISO'").unwrap();
    client.query_one(BESIDES, &[]).unwrap().get(0)
}

#[test]
fn a_database_with_everything_in_it_comes_back_equal_under_twelve_writers() {
    let world = World::new();
    world.execute(EVERYTHING);
    world.execute(MORE);
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (url, stop, seen) = (world.url().to_owned(), Arc::clone(&stop), Arc::clone(&seen));
            thread::spawn(move || write(&url, writer, &stop, &seen))
        })
        .collect();
    world.wait_for("select count(distinct writer) = 12 from public.written");

    let created = world.run("migrate-backup create --fingerprint").expect(Exit::Ok);
    let created = created.one("backup.created");
    let id = created["backup_id"].as_str().unwrap();
    let before = (Inventory::read(&session(&world), None).unwrap(), besides(&world));
    world.execute(
        "drop schema app cascade; drop schema \"Odd Name\" cascade; select lo_unlink(4711);
         update public.marker set word = 'after'; drop event trigger if exists watch;
         create table public.newer (); delete from public.odd_types",
    );
    // Who asks from here on and hears `before` has got the new database.
    let destroyed = Instant::now();
    let name = world.query("current_database()");
    world.execute(&format!("alter database {name} reset all; comment on database {name} is null"));

    let restored = world.run(&format!("migrate-backup restore {id}")).expect(Exit::Ok);
    let restored = restored.one("backup.restored");
    world.wait_for("select word = 'before' from public.marker");
    // The last ones to come back do so within this.
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    stop.store(true, Ordering::SeqCst);
    writers.into_iter().for_each(|it| it.join().unwrap());

    let after = (Inventory::read(&session(&world), None).unwrap(), besides(&world));
    assert_eq!(before.0.text(), after.0.text());
    assert_eq!(before.1, after.1);
    assert_eq!(world.query("public.lucky()"), "200");

    assert_swapped_at_once(&seen.lock().unwrap(), destroyed);
    assert!(restored["gap_ms"].as_u64().unwrap() < 1000, "{restored}");
    let old = restored["old_database"].as_str().unwrap();
    let old = World::at(world.url().replace(&name, old));
    for world in [&world, &old] {
        assert_eq!(world.query("select count(*) from public._migration_locks"), "0");
        let held = "select count(*) from pg_locks where locktype = 'advisory' and database =
                    (select oid from pg_database where datname = current_database())";
        assert_eq!(world.query(held), "0");
    }
    world.assert_sound();
    assert_eq!(old.query("select word from public.marker"), "after");
}

/// Nobody reads the old database after somebody has read the new one, nor waits for a second.
#[track_caller]
fn assert_swapped_at_once(seen: &[Seen], destroyed: Instant) {
    let heard = |word: &str| -> Vec<&Seen> {
        seen.iter().filter(|it| it.word == word && it.asked > destroyed).collect()
    };
    let (old, new) = (heard("after"), heard("before"));
    let first_new = new.iter().map(|it| it.answered).min().unwrap();
    let last_old = old.iter().map(|it| it.answered).max().unwrap();
    let late = old.iter().filter(|it| it.asked > first_new).count();
    assert_eq!(late, 0, "the old database was read after the new one");
    let gap = first_new.saturating_duration_since(last_old);
    assert!(gap < Duration::from_secs(1), "nobody got through for {gap:?}");
}

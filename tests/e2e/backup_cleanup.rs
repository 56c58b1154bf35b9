//! The examples for cron and systemd in docs/cleanup are what cron and systemd accept.

use std::{fs, path::Path, process::Command};

use migrate_core::exit::Exit;
use migrate_tests::{World, source};

const CRON: &str = "docs/cleanup/migrate-backup.cron";
const SERVICE: &str = "docs/cleanup/migrate-backup-prune.service";
const TIMER: &str = "docs/cleanup/migrate-backup-prune.timer";

#[test]
fn each_line_for_cron_has_five_times_a_user_and_a_command_that_is_accepted() {
    let mut commands = 0;
    for line in source::read(CRON).lines() {
        let is_setting = line.split(['=', ' ']).next().is_some_and(|it| {
            !it.is_empty() && it.bytes().all(|it| it.is_ascii_uppercase() || it == b'_')
        });
        if line.is_empty() || line.starts_with('#') || is_setting {
            continue;
        }
        let fields: Vec<&str> = line.splitn(7, ' ').collect();
        let [minute, hour, day, month, weekday, user, command] = fields[..] else {
            panic!("not seven fields: {line}")
        };
        for (field, range) in
            [(minute, 0..=59), (hour, 0..=23), (day, 1..=31), (month, 1..=12), (weekday, 0..=7)]
        {
            let fits = field == "*" || field.parse().is_ok_and(|it: u32| range.contains(&it));
            assert!(fits, "{field} is no time: {line}");
        }
        assert!(user.bytes().all(|it| it.is_ascii_lowercase()), "{user}");
        assert!(!command.contains('%'), "cron takes it for a line end: {line}");
        accepted(command.split(" >>").next().unwrap());
        commands += 1;
    }
    assert_eq!(commands, 2);
    assert!(source::read(CRON).ends_with('\n'), "cron ignores a last line without an end");
}

#[test]
fn systemd_accepts_the_service_and_the_timer() {
    let dir = tempfile::tempdir().unwrap();
    let program = "/usr/local/bin/migrate-backup";
    let service = source::read(SERVICE);
    let command = service.lines().find_map(|it| it.strip_prefix("ExecStart=")).unwrap();
    accepted(&command.replace(program, "migrate-backup"));
    let name = |it: &str| dir.path().join(Path::new(it).file_name().unwrap());
    // systemd looks whether the program is there.
    fs::write(name(SERVICE), service.replace(program, "/bin/true")).unwrap();
    fs::write(name(TIMER), source::read(TIMER)).unwrap();
    let mut verify = Command::new("systemd-analyze");
    let Ok(output) =
        verify.args(["verify", "--man=no"]).args([name(SERVICE), name(TIMER)]).output()
    else {
        // Without systemd, the command is all that can be checked.
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("migrate-backup-prune"), "{said}");
}

/// Whether the tool takes the command line: nothing of it is run.
#[track_caller]
fn accepted(command: &str) {
    let _ = World::at(String::new()).run(&format!("{command} --help")).expect(Exit::Ok);
}

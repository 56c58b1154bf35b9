//! How much room the server's disks have, where it is proven that these are the disks.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

use migrate_core::{
    connect::session::Session,
    error::{Error, Result},
    record::CheckStatus,
    text,
};

use super::Answer;

const DISKS: &str = include_str!("../../sql/disks.sql");

pub(super) fn answers(session: &Session) -> Result<Vec<Answer>> {
    let rows =
        session.query_once(DISKS, &[]).map_err(Error::database("ask where the data is kept"))?;
    let row = rows.first().expect("it is one row");
    let Some(folder) = row.get::<_, Option<String>>("data_directory") else {
        return Ok(vec![Answer::unknown("this role may not know where the server keeps its data")]);
    };
    let folder = Path::new(&folder);
    if !belongs_to(folder, &session.facts().system_identifier) {
        return Ok(vec![Answer::unknown(
            "the server's disks cannot be seen from here, or not by this user",
        )]);
    }
    let largest: i64 = row.get("largest_bytes");
    let log = folder.join("pg_wal");
    let mut places = vec![folder.to_owned(), log];
    places.extend(row.get::<_, Vec<String>>("tablespaces").into_iter().map(Into::into));
    Ok(rooms(&places).into_iter().map(|it| judge(&it, largest)).collect())
}

/// The identifier stands at the start of `pg_control`, in the machine's byte order: a folder of the
/// same path on another machine has another one.
fn belongs_to(folder: &Path, system_identifier: &str) -> bool {
    let mut bytes = [0; 8];
    let read =
        File::open(folder.join("global/pg_control")).and_then(|mut it| it.read_exact(&mut bytes));
    read.is_ok() && u64::from_ne_bytes(bytes).to_string() == system_identifier
}

#[derive(Debug, Clone, PartialEq)]
struct Room {
    place: String,
    free_bytes: u64,
    total_bytes: u64,
}

/// Each file system once, under the first place on it.
fn rooms(places: &[std::path::PathBuf]) -> Vec<Room> {
    use std::os::unix::fs::MetadataExt;
    let mut seen = Vec::new();
    let mut rooms = Vec::new();
    for place in places {
        let Ok(found) = fs::metadata(place) else { continue };
        let Ok(it) = rustix::fs::statvfs(place) else { continue };
        if !seen.contains(&found.dev()) {
            seen.push(found.dev());
            rooms.push(Room {
                place: place.display().to_string(),
                free_bytes: it.f_bavail * it.f_frsize,
                total_bytes: it.f_blocks * it.f_frsize,
            });
        }
    }
    rooms
}

fn judge(room: &Room, largest: i64) -> Answer {
    let part = (room.free_bytes * 100).checked_div(room.total_bytes).unwrap_or(0);
    let needed = largest.unsigned_abs() * 2;
    let status = match part {
        _ if room.free_bytes < needed => CheckStatus::Fail,
        0..10 => CheckStatus::Fail,
        10..50 => CheckStatus::Warn,
        _ => CheckStatus::Pass,
    };
    let size = |bytes: u64| text::bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut message =
        format!("{part} % free: {} of {}", size(room.free_bytes), size(room.total_bytes));
    if room.free_bytes < needed {
        message += &format!("; a copy of the largest table and its log need {}", size(needed));
    }
    Answer::of(status, &room.place, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_or_too_small_for_a_copy_fails() {
        let room = |free_bytes| Room { place: "/x".to_owned(), free_bytes, total_bytes: 100 };
        for (free, largest, status) in [
            (60, 10, CheckStatus::Pass),
            (49, 10, CheckStatus::Warn),
            (9, 1, CheckStatus::Fail),
            (60, 31, CheckStatus::Fail),
        ] {
            assert_eq!(judge(&room(free), largest).status, status, "{free} {largest}");
        }
    }

    #[test]
    fn a_folder_of_another_server_is_not_believed() {
        let folder = std::env::temp_dir();
        assert!(!belongs_to(&folder, "7"));
    }
}

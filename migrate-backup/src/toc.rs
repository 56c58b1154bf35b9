//! `toc.dat`, the table of contents of a dump: read by us before a program is let near the archive.
//!
//! The names in it are opened by pg_restore as they stand, and versions before 15.20 follow them
//! out of the folder. The layout is that of PostgreSQL's pg_backup_archiver.c.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    io::{self, BufReader, Read},
};

use migrate_core::record::{Damage, DamageKind};

use crate::{
    dump::INVENTORY,
    manifest::Manifest,
    store::{
        backup::{self, DUMP},
        folder::Folder,
    },
};

const NAME: &str = "toc.dat";
/// The newest layout that is known: that of PostgreSQL 17 and 18.
const NEWEST: (u8, u8) = (1, 16);
const OLDEST: (u8, u8) = (1, 12);
/// Far more than any dump has; what is larger is no string of pg_dump's.
const LONGEST: usize = 1 << 30;
/// The names that a list of large objects may have.
const LONGEST_LIST: u64 = 1 << 32;
/// `archTar` and `archDirectory`: the folder's own table is written as that of a tar file.
const FORMATS: [u8; 2] = [3, 5];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toc {
    /// Of the pg_dump that wrote it: `15.18 (Debian …)`.
    pub(crate) dumped_by: String,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `TABLE DATA`, `EXTENSION`, …
    pub(crate) kind: String,
    pub(crate) schema: Option<String>,
    pub(crate) name: String,
    /// Which holds its data.
    pub(crate) file: Option<String>,
}

impl Toc {
    pub(crate) fn read(mut input: impl Read) -> io::Result<Toc> {
        let mut magic = [0; 5];
        input.read_exact(&mut magic)?;
        if &magic != b"PGDMP" {
            return Err(wrong("it does not begin as an archive of pg_dump does"));
        }
        let [major, minor, _, integer, _, format] = bytes(&mut input)?;
        let version = (major, minor);
        if !(OLDEST..=NEWEST).contains(&version) {
            return Err(wrong(format!("it has layout {major}.{minor}, which is not known")));
        }
        if !FORMATS.contains(&format) {
            return Err(wrong("it is not of the directory format"));
        }
        if !(1..=8).contains(&integer) {
            return Err(wrong("its numbers have an impossible size"));
        }
        let mut reader = Reader { input, integer: integer.into(), version };
        reader.toc()
    }

    /// The major version of the pg_dump that wrote it.
    pub(crate) fn major(&self) -> Option<u32> {
        let digits: String = self.dumped_by.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    }
}

struct Reader<R> {
    input: R,
    integer: usize,
    version: (u8, u8),
}

impl<R: Read> Reader<R> {
    fn toc(&mut self) -> io::Result<Toc> {
        if self.version >= (1, 15) {
            bytes::<1>(&mut self.input)?;
        } else {
            self.int()?;
        }
        for _ in 0..7 {
            self.int()?;
        }
        self.text()?;
        self.text()?;
        let dumped_by = self.text()?.unwrap_or_default();
        let count = self.int()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.entry()?);
        }
        Ok(Toc { dumped_by, entries })
    }

    fn entry(&mut self) -> io::Result<Entry> {
        self.int()?;
        self.int()?;
        self.text()?;
        self.text()?;
        let name = self.text()?.unwrap_or_default();
        let kind = self.text()?.unwrap_or_default();
        self.int()?;
        // How to make it, to drop it, to copy into it.
        for _ in 0..3 {
            self.text()?;
        }
        let schema = self.text()?;
        self.text()?;
        if self.version >= (1, 14) {
            self.text()?;
        }
        if self.version >= (1, 16) {
            self.int()?;
        }
        self.text()?;
        self.text()?;
        while self.text()?.is_some() {}
        let file = self.text()?.filter(|it| !it.is_empty());
        Ok(Entry { kind, schema, name, file })
    }

    /// A sign, then the bytes of the number, the lowest first.
    fn int(&mut self) -> io::Result<i64> {
        let [sign] = bytes(&mut self.input)?;
        let mut number = [0; 8];
        self.input.read_exact(&mut number[..self.integer])?;
        let number = i64::from_le_bytes(number);
        Ok(if sign == 0 { number } else { -number })
    }

    fn text(&mut self) -> io::Result<Option<String>> {
        let length = self.int()?;
        if length < 0 {
            return Ok(None);
        }
        let length = usize::try_from(length).ok().filter(|&it| it <= LONGEST);
        let length = length.ok_or_else(|| wrong("a text in it has an impossible length"))?;
        // Not all at once: the length may be a lie.
        let mut text = Vec::new();
        self.input.by_ref().take(length as u64).read_to_end(&mut text)?;
        if text.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

fn bytes<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// Reads the table of a dump, and finds whatever in it leads elsewhere, lacks or is too many.
pub(crate) fn check(dump: &Folder, manifest: &Manifest) -> Result<Toc, Vec<Damage>> {
    let damage = |object: &str, message: String| Damage {
        object: format!("{DUMP}/{object}"),
        kind: DamageKind::Archive,
        message,
    };
    let toc = dump
        .open_file(NAME)
        .and_then(|it| Toc::read(BufReader::new(it)))
        .map_err(|err| vec![damage(NAME, format!("it cannot be read: {err}"))])?;
    let there: BTreeSet<&str> = manifest
        .files
        .iter()
        .filter_map(|it| it.path.strip_prefix(DUMP)?.strip_prefix('/'))
        .collect();
    let mut used = BTreeSet::from([NAME, INVENTORY]);
    let mut damages = Vec::new();
    let mut lists = BTreeSet::new();
    for entry in &toc.entries {
        let Some(file) = &entry.file else { continue };
        match find(&there, file) {
            Ok(found) => {
                used.insert(found);
                if entry.kind == "BLOBS" {
                    lists.insert(found);
                }
            }
            Err(why) => damages.push(damage(NAME, format!("it names `{}`, {why}", shown(file)))),
        }
    }
    for list in lists {
        match large_objects(dump, list) {
            Err(err) => damages.push(damage(list, format!("it cannot be read: {err}"))),
            Ok(names) => {
                for name in names {
                    match find(&there, &name) {
                        Ok(found) => {
                            used.insert(found);
                        }
                        Err(why) => {
                            damages
                                .push(damage(list, format!("it names `{}`, {why}", shown(&name))));
                        }
                    }
                }
            }
        }
    }
    let unused = there.iter().filter(|it| !used.contains(*it));
    damages.extend(unused.map(|it| damage(it, "nothing in the archive belongs to it".into())));
    if damages.is_empty() { Ok(toc) } else { Err(damages) }
}

/// The file of that name, perhaps compressed; or why there is none.
fn find<'a>(there: &BTreeSet<&'a str>, name: &str) -> Result<&'a str, &'static str> {
    if backup::dump_path(OsStr::new(name)).is_none() {
        return Err("which leads out of the folder");
    }
    ["", ".gz", ".lz4", ".zst"]
        .iter()
        .find_map(|it| there.get(format!("{name}{it}").as_str()).copied())
        .ok_or("which is not there")
}

/// The files that a list of large objects names: a line each, with the number in front.
fn large_objects(dump: &Folder, list: &str) -> io::Result<Vec<String>> {
    if !list.ends_with(".toc") {
        return Err(wrong("a list of large objects is never compressed"));
    }
    let text = String::from_utf8_lossy(&dump.read(list, LONGEST_LIST)?).into_owned();
    text.lines()
        .map(|line| {
            let (number, name) =
                line.split_once(' ').ok_or_else(|| wrong("a line lacks a name"))?;
            number.parse::<u32>().map_err(|_| wrong("a line lacks a number"))?;
            Ok(name.to_owned())
        })
        .collect()
}

fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Writer(Vec<u8>);

    impl Writer {
        fn int(&mut self, number: i32) -> &mut Writer {
            self.0.push(u8::from(number < 0));
            self.0.extend(number.unsigned_abs().to_le_bytes());
            self
        }

        fn text(&mut self, text: Option<&str>) -> &mut Writer {
            let Some(text) = text else { return self.int(-1) };
            self.int(text.len() as i32).0.extend(text.as_bytes());
            self
        }
    }

    /// A table with one entry, as pg_dump 15 writes it.
    fn toc(file: &str) -> Vec<u8> {
        let mut out = Writer(b"PGDMP\x01\x0e\x00\x04\x08\x03".to_vec());
        for _ in 0..8 {
            out.int(0);
        }
        out.text(Some("shop")).text(Some("15.18")).text(Some("15.18 (Debian)")).int(1);
        out.int(7).int(1).text(Some("0")).text(Some("0")).text(Some("t")).text(Some("TABLE DATA"));
        out.int(3).text(Some("")).text(Some("")).text(Some("COPY t")).text(Some("public"));
        out.text(Some("")).text(Some("")).text(Some("joe")).text(Some("false"));
        out.text(Some("1")).text(None).text(Some(file));
        out.0
    }

    #[test]
    fn an_entry_is_read_with_its_file() {
        let toc = Toc::read(&toc("7.dat")[..]).unwrap();
        assert_eq!(toc.major(), Some(15));
        let entry = Entry {
            kind: "TABLE DATA".into(),
            schema: Some("public".into()),
            name: "t".into(),
            file: Some("7.dat".into()),
        };
        assert_eq!(toc.entries, [entry]);
    }

    #[test]
    fn a_name_that_leads_elsewhere_or_nowhere_is_not_found() {
        let there = BTreeSet::from(["7.dat.gz", "8.dat"]);
        assert_eq!(find(&there, "7.dat"), Ok("7.dat.gz"));
        assert_eq!(find(&there, "8.dat"), Ok("8.dat"));
        for bad in ["../7.dat", "/etc/passwd", "a/b", "", ".hidden", "9.dat", "-x", "a\nb"] {
            assert!(find(&there, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_cut_or_changed_table_is_taken_for_a_whole_one() {
        let whole = toc("7.dat");
        for length in 0..whole.len() {
            assert!(Toc::read(&whole[..length]).is_err(), "{length}");
        }
        for (at, byte) in [(0, b'X'), (5, 9), (6, 99), (8, 0), (10, 1)] {
            let mut changed = whole.clone();
            changed[at] = byte;
            assert!(Toc::read(&changed[..]).is_err(), "byte {at}");
        }
    }
}

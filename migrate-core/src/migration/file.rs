//! One migration file: its text, cut into up and down.

use std::{ffi::OsStr, ops::Range, sync::Arc};

use super::{
    checksum::checksum,
    directive::{self, Batch, Directive, wrong},
    header::{self, Header},
    name::{FileName, Layout, escaped},
    script::{Script, Text},
};
use crate::{
    error::{Error, Location, Result},
    sql::lexer::Lexer,
};

/// A file by itself; `dir::join` makes migrations of them.
#[derive(Debug)]
pub struct File {
    pub(super) file: String,
    pub(super) name: FileName,
    pub(super) checksum: String,
    pub(super) down_checksum: Option<String>,
    pub(super) header: Header,
    pub(super) up: Option<Script>,
    pub(super) down: Option<Script>,
}

/// The file's name without its folder, and what it holds.
pub fn parse(file: &str, bytes: Vec<u8>) -> Result<File> {
    read(file, FileName::parse(file)?, bytes)
}

/// A file of any name, by which it is called in messages: as if it were a migration of one file.
pub fn parse_unnamed(file: &str, bytes: Vec<u8>) -> Result<File> {
    let name = FileName {
        version: "0".parse().expect("a version"),
        name: file.to_owned(),
        layout: Layout::One,
    };
    read(file, name, bytes)
}

fn read(file: &str, name: FileName, bytes: Vec<u8>) -> Result<File> {
    let whole = Arc::new(decode(file, bytes)?);
    let start = if whole.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let text = &whole[start..];
    let sections = Sections::read(file, text)?;
    let (up, down) = match name.layout {
        Layout::One => sections.of_one(file, text)?,
        Layout::Up => (Some(sections.of_pair(file, text, Layout::Up)?), None),
        Layout::Down => (None, Some(sections.of_pair(file, text, Layout::Down)?)),
    };
    let script = |section: Section| Script {
        file: file.to_owned(),
        text: Text::new(Arc::clone(&whole), start + section.range.start..start + section.range.end),
        first_line: section.first_line,
        // Each range of a batch commits.
        transaction: section.transaction && section.batches.is_empty(),
        marked: section.marked,
        batches: section.batches,
    };
    let down = down.map(&script);
    Ok(File {
        checksum: checksum(text),
        down_checksum: down.as_ref().map(|down| checksum(&down.text)),
        header: header::header(file, text)?,
        up: up.map(script),
        down,
        file: file.to_owned(),
        name,
    })
}

fn decode(file: &str, bytes: Vec<u8>) -> Result<String> {
    let refused = |message: String| Error::MigrationFile {
        file: escaped(OsStr::new(file)),
        message,
        hint: Some("save the file as UTF-8 text".to_owned()),
    };
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(refused("the text is UTF-16, from byte 0".to_owned()));
    }
    if bytes.contains(&0) {
        let at = bytes.iter().take_while(|&&b| b != 0).count();
        return Err(refused(format!("NUL byte at byte {at}")));
    }
    String::from_utf8(bytes).map_err(|error| {
        refused(format!("the text is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
    })
}

/// The part of the text that one marker begins.
#[derive(Debug)]
struct Section {
    range: Range<usize>,
    first_line: u32,
    transaction: bool,
    marked: bool,
    batches: Vec<Batch>,
}

#[derive(Debug, Clone)]
struct Marker {
    at: Location,
    /// Of the marker's line.
    start: usize,
    /// Of the line behind it.
    text: usize,
    transaction: bool,
}

/// All markers of a text, before its layout gives them a meaning.
#[derive(Debug, Default)]
struct Sections {
    up: Option<Marker>,
    down: Option<Marker>,
    batches: Vec<Batch>,
}

impl Sections {
    fn read(file: &str, text: &str) -> Result<Sections> {
        let mut sections = Sections::default();
        let mut start = 0;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let next = start + line.len();
            if let Some(comment) = directive::comment(line) {
                let indent = line.chars().take_while(|c| c.is_whitespace()).count();
                let column = u32::try_from(indent + 1).unwrap_or(u32::MAX);
                let at = || Location { file: file.to_owned(), line: number, column };
                sections.take(comment, at, start, next)?;
            }
            start = next;
        }
        Ok(sections)
    }

    fn take(
        &mut self,
        comment: &str,
        at: impl Fn() -> Location,
        start: usize,
        text: usize,
    ) -> Result<()> {
        // Most comments are prose, and don't need to know where they stand.
        if !comment.starts_with(['m', 'M', '+', '@', '/']) {
            return Ok(());
        }
        let at = at();
        let (slot, transaction) = match directive::directive(comment, &at)? {
            Some(Directive::Up { transaction }) => (&mut self.up, transaction),
            Some(Directive::Down { transaction }) => (&mut self.down, transaction),
            Some(Directive::Batch(batch)) => {
                self.batches.push(batch);
                return Ok(());
            }
            // Read by whoever judges the file.
            Some(Directive::Allow(_)) | None => return Ok(()),
        };
        if let Some(first) = slot {
            let message = format!("the marker stands in line {} already", first.at.line);
            return Err(wrong(&at, &message, "a file has one up part and one down part"));
        }
        *slot = Some(Marker { at, start, text, transaction });
        Ok(())
    }

    fn of_one(self, file: &str, text: &str) -> Result<(Option<Section>, Option<Section>)> {
        let Sections { up, down, batches } = self;
        match (up, down) {
            (None, None) => Ok((Some(whole(text, batches)), None)),
            (None, Some(down)) => Err(wrong(
                &down.at,
                "there is no `-- migrate:up` before `-- migrate:down`",
                "put `-- migrate:up` above the up part",
            )),
            (Some(up), None) => Ok((Some(section(file, text, &up, text.len(), batches)?), None)),
            (Some(up), Some(down)) if up.start > down.start => Err(wrong(
                &up.at,
                "`-- migrate:up` stands behind `-- migrate:down`",
                "put the up part first",
            )),
            (Some(up), Some(down)) => {
                let (before, behind) =
                    batches.into_iter().partition(|batch| batch.line < down.at.line);
                let up = section(file, text, &up, down.start, before)?;
                // Only the up part has comments before it; what precedes the down part is the up part.
                let down = Section {
                    range: down.text..text.len(),
                    first_line: down.at.line + 1,
                    transaction: down.transaction,
                    marked: true,
                    batches: behind,
                };
                Ok((Some(up), Some(down)))
            }
        }
    }

    fn of_pair(self, file: &str, text: &str, layout: Layout) -> Result<Section> {
        let Sections { up, down, batches } = self;
        let (own, other) = if layout == Layout::Up { (up, down) } else { (down, up) };
        if let Some(other) = other {
            return Err(wrong(
                &other.at,
                "the marker doesn't fit the file's name",
                "a `.up.sql` has no down part and a `.down.sql` no up part",
            ));
        }
        match own {
            Some(marker) => section(file, text, &marker, text.len(), batches),
            None => Ok(whole(text, batches)),
        }
    }
}

fn whole(text: &str, batches: Vec<Batch>) -> Section {
    Section { range: 0..text.len(), first_line: 1, transaction: true, marked: false, batches }
}

fn section(
    file: &str,
    text: &str,
    marker: &Marker,
    end: usize,
    batches: Vec<Batch>,
) -> Result<Section> {
    let first_line = marker.at.line + 1;
    let stray = batches.iter().find(|batch| batch.line < first_line).map(|batch| batch.line);
    if let Some(line) = stray.or_else(|| sql_before(text, marker)) {
        return Err(wrong(
            &Location { file: file.to_owned(), line, column: 1 },
            &format!("this stands before the marker in line {}", marker.at.line),
            "only comments may stand there; move it below the marker",
        ));
    }
    let range = marker.text..end;
    Ok(Section { range, first_line, transaction: marker.transaction, marked: true, batches })
}

/// The line of the first token before a marker that isn't a comment.
fn sql_before(text: &str, marker: &Marker) -> Option<u32> {
    let before = &text[..marker.start];
    let at = match Lexer::new(before).next_significant() {
        Ok(token) => token?.start,
        Err(unterminated) => unterminated.at,
    };
    Some(crate::sql::position::position_of(before, at, 1).0)
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

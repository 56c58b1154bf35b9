//! Statements that are cut into key ranges: where `{batch}` stands in each, and what it is about.

use std::ops::Range;

use super::{
    cut::{Read, Refused},
    directive::{Batch, wrong},
    script::Script,
};
use crate::{
    error::{Error, Location, Result},
    sql::{
        kind::{Control, Kind},
        split::{Statement, split},
        words::Name,
    },
};

/// A statement with its `-- migrate:batch` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batched {
    /// Which statement of the script, from 1.
    pub statement: u64,
    pub batch: Batch,
    /// Where `{batch}` stands in the statement's text.
    place: Range<usize>,
    /// What qualifies the key's columns there, as SQL.
    pub qualifier: String,
    /// Functions that it calls for each row. An aggregate among them would be one of each range,
    /// which only the catalog knows.
    pub calls: Vec<Name>,
}

impl Batched {
    /// The statement's `text` for one range.
    pub fn sql(&self, text: &str, predicate: &str) -> String {
        format!("{}{predicate}{}", &text[..self.place.start], &text[self.place.end..])
    }

    /// What a checkpoint is bound to beside the statement's text.
    pub fn identity(&self) -> String {
        format!("{:?} {:?}", self.batch.table, self.batch.key)
    }
}

/// The batched statements of a script; an error where one cannot be run in ranges, or where its
/// line has no statement.
pub fn of_script(script: &Script) -> Result<Vec<Batched>> {
    let mut found = Vec::new();
    if !script.has_batch() {
        return Ok(found);
    }
    let stray = |batch: &Batch, message: &str| {
        let at = Location { file: script.file.clone(), line: batch.line, column: 1 };
        wrong(&at, message, "it belongs right before an UPDATE, DELETE or INSERT … SELECT")
    };
    let mut batches = script.batches.iter().peekable();
    let mut in_transaction = false;
    for (number, statement) in (1..).zip(split(&script.file, &script.text, script.first_line)) {
        let statement = statement?;
        let text = statement.text(&script.text);
        if let Some(batch) = batches.next_if(|it| it.line < statement.line) {
            if let Some(second) = batches.next_if(|it| it.line < statement.line) {
                return Err(stray(second, "this is the second batch of one statement"));
            }
            if in_transaction {
                return Err(stray(
                    batch,
                    "a batch commits each range, and stands in a transaction",
                ));
            }
            found.push(batched(script, number, &statement, batch)?);
        }
        let end = statement.line + text.matches('\n').count() as u32;
        if let Some(inside) = batches.next_if(|it| it.line <= end) {
            return Err(stray(inside, "a batch stands inside a statement"));
        }
        match statement.kind {
            Kind::TransactionControl(Control::Begin { .. }) => in_transaction = true,
            Kind::TransactionControl(_) => in_transaction = false,
            _ => (),
        }
    }
    match batches.next() {
        Some(batch) => Err(stray(batch, "no statement follows this batch")),
        None => Ok(found),
    }
}

fn batched(script: &Script, number: u64, statement: &Statement, batch: &Batch) -> Result<Batched> {
    let text = statement.text(&script.text);
    let read = Read::new(text);
    let parts = read.place().and_then(|(place, at)| {
        read.check_where(statement.tag(), at)?;
        Ok((place, read.qualifier(batch)?))
    });
    let (place, qualifier) = parts.map_err(|Refused { message, hint }| Error::Sql {
        at: statement.location(&script.file),
        message,
        hint: Some(hint.to_owned()),
    })?;
    let calls = read.calls();
    Ok(Batched { statement: number, batch: batch.clone(), place, qualifier, calls })
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;

//! One direction of a migration: its SQL and how to run it.

use std::{fmt, ops::Deref, ops::Range, sync::Arc};

use super::{batch, directive::Batch};
use crate::{
    error::Result,
    sql::{
        check::{self, Mode, Summary},
        kind::Kind,
        split::{self, Statement},
    },
};

#[derive(Debug, Clone)]
pub struct Script {
    pub file: String,
    /// As it stands in the file, CRLF included.
    pub text: Text,
    /// The line of the file that the text starts at.
    pub first_line: u32,
    /// Of a script without a marker what is most likely; `check` knows.
    pub transaction: bool,
    /// Whether a marker says so.
    pub marked: bool,
    pub batches: Vec<Batch>,
}

impl Script {
    /// Looks through the whole script; nothing of it may be sent before this has passed.
    pub fn check(&self) -> Result<Summary> {
        self.check_each(|_, _| ())
    }

    /// The same, and shows each statement's text and kind: a large script is not read a second time for it.
    pub fn check_each(&self, see: impl FnMut(&str, &Kind)) -> Result<Summary> {
        let mode = match (self.transaction, self.marked) {
            (false, _) => Mode::Alone,
            (true, true) => Mode::Transaction,
            (true, false) => Mode::Unmarked,
        };
        let summary = check::check(&self.file, &self.text, self.first_line, mode, see)?;
        batch::of_script(self)?;
        Ok(summary)
    }

    /// What is to be sent, in order. In a transactional script that passed `check`, the only
    /// transaction control is the pair around everything, and it's left out.
    pub fn statements(&self) -> impl Iterator<Item = Result<Statement>> {
        let left_out =
            |kind: &Kind| self.transaction && matches!(kind, Kind::TransactionControl(_));
        split::split(&self.file, &self.text, self.first_line)
            .filter(move |found| !found.as_ref().is_ok_and(|statement| left_out(&statement.kind)))
    }

    /// Only comments and semicolons. A script that can't be read is not empty.
    pub fn is_empty(&self) -> bool {
        self.statements().next().is_none()
    }

    pub fn has_batch(&self) -> bool {
        !self.batches.is_empty()
    }
}

/// A part of a file. Parts share the one copy of it.
#[derive(Clone)]
pub struct Text {
    whole: Arc<String>,
    range: Range<usize>,
}

impl Text {
    pub fn new(whole: Arc<String>, range: Range<usize>) -> Text {
        Text { whole, range }
    }

    /// The file that it is a part of.
    pub fn whole(&self) -> &str {
        &self.whole
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.whole[self.range.clone()]
    }
}

impl From<String> for Text {
    fn from(text: String) -> Text {
        let range = 0..text.len();
        Text::new(Arc::new(text), range)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.range.len())
    }
}

//! Splits a text into statements where psql would send them, one at a time and without copying.

use std::ops::Range;

use super::{
    kind::{self, Kind},
    lexer::{Lexer, Token, TokenKind, Unterminated},
    position::{Cursor, position_of},
    setting,
};
use crate::error::{Error, Location, Result};

/// One statement of a file: where it stands and what it is. Ranges are bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Without white space and comments around it, and without the final `;`.
    pub range: Range<usize>,
    /// Of its first character; both from 1, columns in characters.
    pub line: u32,
    pub column: u32,
    pub kind: Kind,
    /// The rows behind `COPY … FROM stdin`, up to the line `\.`.
    pub copy_data: Option<Range<usize>>,
}

impl Statement {
    pub fn text<'a>(&self, sql: &'a str) -> &'a str {
        &sql[self.range.clone()]
    }

    pub fn tag(&self) -> &str {
        self.kind.tag()
    }

    pub fn location(&self, file: &str) -> Location {
        Location { file: file.to_owned(), line: self.line, column: self.column }
    }
}

/// `file` is the name for messages, and `first_line` the line of it that the text starts at.
pub fn split<'a>(file: &'a str, text: &'a str, first_line: u32) -> Split<'a> {
    Split {
        file,
        text,
        first_line,
        lexer: Lexer::new(text),
        cursor: Cursor::new(first_line),
        checked: 0,
        failed: false,
    }
}

/// Yields statements until the end or the first error.
#[derive(Debug, Clone)]
pub struct Split<'a> {
    file: &'a str,
    text: &'a str,
    first_line: u32,
    lexer: Lexer<'a>,
    cursor: Cursor,
    /// Up to here no NUL byte was found.
    checked: usize,
    failed: bool,
}

impl Iterator for Split<'_> {
    type Item = Result<Statement>;

    fn next(&mut self) -> Option<Result<Statement>> {
        if self.failed {
            return None;
        }
        let found = self.statement().transpose();
        self.failed = matches!(found, Some(Err(_)));
        found
    }
}

impl Split<'_> {
    fn statement(&mut self) -> Result<Option<Statement>> {
        let mut body = Body::default();
        let mut terminated = false;
        while let Some(token) = self.token()? {
            match token.kind {
                TokenKind::Backslash => self.psql_command(token, body.range.is_some())?,
                TokenKind::Semicolon if body.is_closed() => {
                    terminated = true;
                    if body.range.is_some() {
                        break;
                    }
                }
                _ if token.is_significant() => body.take(token, self.text),
                _ => {}
            }
        }
        self.refuse_nul(self.lexer.at())?;
        self.refuse_open(&body)?;
        match body.range {
            Some(range) => self.finish(range, terminated).map(Some),
            None => Ok(None),
        }
    }

    fn token(&mut self) -> Result<Option<Token>> {
        self.lexer.next_token().map_err(|Unterminated { what, at }| {
            self.error(
                at,
                format!("{what} is never closed"),
                "the rest of the file was read as a part of it",
            )
        })
    }

    fn finish(&mut self, range: Range<usize>, terminated: bool) -> Result<Statement> {
        let statement = &self.text[range.clone()];
        self.cursor.advance(self.text, range.start);
        let (line, column) = (self.cursor.line, self.cursor.column);
        let kind = kind::kind_of(statement, self.lexer.standard_strings);
        if matches!(kind, Kind::Set { .. } | Kind::Alone(_)) {
            let standard = self.lexer.standard_strings;
            self.lexer.standard_strings =
                setting::standard_strings(statement, standard).unwrap_or(standard);
        }
        let copy_data = match kind {
            Kind::CopyFromStdin => Some(self.copy_data(&range, terminated)?),
            _ => None,
        };
        Ok(Statement { range, line, column, kind, copy_data })
    }

    /// Rows start on the line behind the statement, and psql sends them up to a line `\.`.
    fn copy_data(&mut self, statement: &Range<usize>, terminated: bool) -> Result<Range<usize>> {
        let behind = self.lexer.at();
        let line_end = self.text[behind..].find('\n').map_or(self.text.len(), |n| behind + n + 1);
        let rest = self.text[behind..line_end].trim();
        if !rest.is_empty() && !rest.starts_with("--") {
            let at = behind + self.text[behind..].find(rest).unwrap_or(0);
            return Err(self.error(
                at,
                "nothing may follow `COPY … FROM stdin;` on its line".to_owned(),
                "the rows start on the next line",
            ));
        }
        let mut at = line_end;
        while terminated && at < self.text.len() {
            let end = self.text[at..].find('\n').map_or(self.text.len(), |n| at + n + 1);
            if self.text[at..end].trim_end_matches(['\r', '\n']) == r"\." {
                self.refuse_nul(end)?;
                self.lexer.seek(end);
                return Ok(line_end..at);
            }
            at = end;
        }
        Err(self.error(
            statement.start,
            r"the rows of `COPY … FROM stdin` have no end".to_owned(),
            r"write a line with `\.` alone behind the last row",
        ))
    }

    /// `\restrict` and `\unrestrict` are what pg_dump writes around a dump, and mean nothing here.
    fn psql_command(&mut self, token: Token, inside_statement: bool) -> Result<()> {
        let line_end = self.text[token.end..].find('\n').map_or(self.text.len(), |n| token.end + n);
        let command = self.text[token.end..line_end].split_whitespace().next().unwrap_or_default();
        if !inside_statement && matches!(command, "restrict" | "unrestrict") {
            self.lexer.seek(line_end);
            return Ok(());
        }
        let shown: String = command.chars().take(20).collect();
        let hint = match command.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default() {
            "" if command.starts_with('.') => {
                "there are no rows of a `COPY … FROM stdin` to end here"
            }
            "" => "quote the backslash if it belongs to a value",
            "i" | "ir" | "include" | "include_relative" => "put the SQL of that file here",
            "copy" => "use `COPY … FROM stdin` with the rows behind it",
            _ => "only SQL runs here; use psql itself for its own commands",
        };
        Err(self.error(token.start, format!(r"`\{shown}` is a command of psql, not SQL"), hint))
    }

    fn refuse_nul(&mut self, end: usize) -> Result<()> {
        let passed = &self.text.as_bytes()[self.checked..end];
        if !passed.contains(&0) {
            self.checked = end;
            return Ok(());
        }
        let at = self.checked + passed.iter().take_while(|&&b| b != 0).count();
        let hint = "PostgreSQL cannot take one; save the file as UTF-8 text";
        Err(self.error(at, format!("NUL byte at byte {at}"), hint))
    }

    fn refuse_open(&self, body: &Body) -> Result<()> {
        let hint = "the rest of the file was read as a part of it";
        if body.parentheses > 0 {
            return Err(self.error(body.opened_at, "parenthesis is never closed".to_owned(), hint));
        }
        if body.blocks > 0 {
            return Err(self.error(body.block_at, "`BEGIN ATOMIC` has no `END`".to_owned(), hint));
        }
        Ok(())
    }

    fn error(&self, at: usize, message: String, hint: &str) -> Error {
        let (line, column) = position_of(self.text, at, self.first_line);
        Error::Sql {
            at: Location { file: self.file.to_owned(), line, column },
            message,
            hint: Some(hint.to_owned()),
        }
    }
}

/// What is open in the statement under way; its size doesn't grow with the depth.
#[derive(Debug, Default)]
struct Body {
    range: Option<Range<usize>>,
    parentheses: u64,
    /// The outermost parenthesis.
    opened_at: usize,
    /// BEGIN ATOMIC and the CASEs inside it.
    blocks: u64,
    block_at: usize,
    routine: Routine,
    previous: Previous,
}

/// How far the start of the statement looks like `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Routine {
    #[default]
    Start,
    Create,
    CreateOr,
    CreateOrReplace,
    Yes,
    No,
}

/// The token before, as far as it changes what a word means.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Previous {
    #[default]
    Other,
    Begin(usize),
    /// Behind a dot or AS even a keyword is a name.
    NameFollows,
}

impl Body {
    fn is_closed(&self) -> bool {
        self.parentheses == 0 && self.blocks == 0
    }

    fn take(&mut self, token: Token, text: &str) {
        let start = self.range.as_ref().map_or(token.start, |range| range.start);
        self.range = Some(start..token.end);
        let mut previous = Previous::Other;
        match token.kind {
            TokenKind::Open => {
                if self.parentheses == 0 {
                    self.opened_at = token.start;
                }
                self.parentheses += 1;
            }
            TokenKind::Close => self.parentheses = self.parentheses.saturating_sub(1),
            TokenKind::Dot => previous = Previous::NameFollows,
            TokenKind::Word => previous = self.word(token, text),
            _ if self.routine != Routine::Yes => self.routine = Routine::No,
            _ => {}
        }
        self.previous = previous;
    }

    fn word(&mut self, token: Token, text: &str) -> Previous {
        let is = |keyword: &str| token.text(text).eq_ignore_ascii_case(keyword);
        if self.routine != Routine::Yes {
            self.routine = self.routine.after(token.text(text));
            return Previous::Other;
        }
        if self.parentheses > 0 || self.previous == Previous::NameFollows {
            return Previous::Other;
        }
        if let (Previous::Begin(at), 0, true) = (self.previous, self.blocks, is("atomic")) {
            self.blocks = 1;
            self.block_at = at;
        } else if self.blocks > 0 && is("case") {
            self.blocks += 1;
        } else if self.blocks > 0 && is("end") {
            self.blocks -= 1;
        }
        if is("begin") {
            Previous::Begin(token.start)
        } else if is("as") {
            Previous::NameFollows
        } else {
            Previous::Other
        }
    }
}

impl Routine {
    fn after(self, word: &str) -> Routine {
        let is = |keyword: &str| word.eq_ignore_ascii_case(keyword);
        let routine = is("function") || is("procedure");
        match self {
            Routine::Start if is("create") => Routine::Create,
            Routine::Create if is("or") => Routine::CreateOr,
            Routine::CreateOr if is("replace") => Routine::CreateOrReplace,
            Routine::Create | Routine::CreateOrReplace if routine => Routine::Yes,
            _ => Routine::No,
        }
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;

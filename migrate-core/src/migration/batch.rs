//! Statements that are cut into key ranges: where `{batch}` stands in each, and what it is about.

use std::ops::Range;

use super::{
    directive::{Batch, wrong},
    script::Script,
};
use crate::{
    error::{Error, Location, Result},
    sql::{
        kind::{Control, Kind},
        lexer::{Lexer, Token, TokenKind},
        split::{Statement, split},
        words::name_of,
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
    Ok(Batched { statement: number, batch: batch.clone(), place, qualifier })
}

struct Refused {
    message: String,
    hint: &'static str,
}

fn refused<T>(message: impl Into<String>, hint: &'static str) -> Result<T, Refused> {
    Err(Refused { message: message.into(), hint })
}

/// The tokens of a statement outside of all parentheses, but for the parentheses themselves.
struct Read<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// With those inside.
    all: Vec<Token>,
}

impl<'a> Read<'a> {
    fn new(text: &'a str) -> Read<'a> {
        let mut lexer = Lexer::new(text);
        let (mut tokens, mut all, mut depth) = (Vec::new(), Vec::new(), 0u64);
        // What cannot be read was found when the script was split.
        while let Ok(Some(token)) = lexer.next_significant() {
            if token.kind == TokenKind::Close {
                depth = depth.saturating_sub(1);
            }
            if depth == 0 {
                tokens.push(token);
            }
            all.push(token);
            if token.kind == TokenKind::Open {
                depth += 1;
            }
        }
        Read { text, tokens, all }
    }

    /// Where `{batch}` stands in the text, and which token it begins at.
    fn place(&self) -> Result<(Range<usize>, usize), Refused> {
        const HINT: &str = "write it like `update orders set … where … and {batch}`";
        let is_place = |three: &[Token]| {
            self.text[three[0].start..three[2].end].eq_ignore_ascii_case("{batch}")
        };
        match self.all.windows(3).filter(|it| is_place(it)).count() {
            0 => return refused("there is no `{batch}` in the statement of a batch", HINT),
            1 => (),
            _ => return refused("`{batch}` stands more than once in a statement", HINT),
        }
        match self.tokens.windows(3).position(is_place) {
            Some(at) => Ok((self.tokens[at].start..self.tokens[at + 2].end, at)),
            None => refused("`{batch}` stands inside of parentheses", HINT),
        }
    }

    fn is(&self, at: usize, words: &[&str]) -> bool {
        self.tokens.get(at).is_some_and(|token| {
            let text = token.text(self.text);
            token.kind == TokenKind::Word && words.iter().any(|it| text.eq_ignore_ascii_case(it))
        })
    }

    /// Beside anything but AND, a row could be touched by more than one range.
    fn check_where(&self, tag: &str, place: usize) -> Result<(), Refused> {
        const BESIDE: &str = "join it with AND to the rest of the WHERE, which goes into \
                              parentheses if it holds an OR";
        if !["UPDATE", "DELETE", "INSERT"].contains(&tag) {
            return refused(
                format!("{tag} cannot be cut into ranges"),
                "a batch is an UPDATE, a DELETE or an INSERT … SELECT",
            );
        }
        let whole = [
            "group",
            "having",
            "limit",
            "offset",
            "fetch",
            "union",
            "intersect",
            "except",
            "window",
        ];
        for at in 0..self.tokens.len() {
            let distinct = self.is(at, &["select"]) && self.is(at + 1, &["distinct"]);
            if distinct || (tag == "INSERT" && self.is(at, &whole)) {
                let word = self.tokens[at + usize::from(distinct)].text(self.text);
                return refused(
                    format!("each range would do its own {}", word.to_ascii_uppercase()),
                    "a batch can do what is done for each row by itself",
                );
            }
        }
        let Some(start) = (0..place).find(|&at| self.is(at, &["where"])) else {
            return refused("`{batch}` does not stand in the WHERE of the statement", BESIDE);
        };
        let ends = ["returning", "on", "order"];
        let behind = place + 3;
        let end = (behind..self.tokens.len()).find(|&at| self.is(at, &ends));
        let end = end.unwrap_or(self.tokens.len());
        let alone = self.is(place - 1, &["where", "and"])
            && (behind == end || self.is(behind, &["and"]))
            && !(start..end).any(|at| self.is(at, &["or"]))
            && !(0..place).any(|at| self.is(at, &["conflict"]));
        if alone { Ok(()) } else { refused("`{batch}` has to hold for every row", BESIDE) }
    }

    /// The alias that the statement gives the batch's table, or else the table's name.
    fn qualifier(&self, batch: &Batch) -> Result<String, Refused> {
        let mut found = (0..self.tokens.len()).filter_map(|at| self.table_at(at, batch));
        let (target, written) = match (found.next(), found.next()) {
            (Some(one), None) => one,
            (Some((target, _)), _) if batch.alias.is_some() => (target, String::new()),
            (None, _) if batch.alias.is_some() => (false, String::new()),
            (Some(_), _) => {
                return refused(
                    format!("the statement names the table `{}` more than once", batch.table),
                    "say which one in the batch's line: `alias=NAME`",
                );
            }
            (None, _) => {
                return refused(
                    format!("the statement does not name the table `{}`", batch.table),
                    "if it is behind another name, say so in the batch's line: `alias=NAME`",
                );
            }
        };
        if target && let Some(column) = self.assigned().find(|it| batch.key.contains(it)) {
            return refused(
                format!("the statement changes `{column}`, a column of the batch's key"),
                "a row could move into a later range and be changed again: use another key",
            );
        }
        Ok(batch.alias.clone().unwrap_or(written))
    }

    /// If the table is named here as one to change or to read from: whether it is the target of an
    /// UPDATE, and how its columns are qualified.
    fn table_at(&self, at: usize, batch: &Batch) -> Option<(bool, String)> {
        let token = self.tokens[at];
        let kind_at = |at: usize| self.tokens.get(at).map(|it| it.kind);
        if name_of(token.text(self.text))?.name != batch.table.name
            || kind_at(at + 1) == Some(TokenKind::Dot)
        {
            return None;
        }
        let mut before = at.checked_sub(1)?;
        while kind_at(before) == Some(TokenKind::Dot) {
            before = before.checked_sub(2)?;
        }
        if self.is(before, &["only"]) {
            before = before.checked_sub(1)?;
        }
        let update = self.is(before, &["update"]);
        let source = self.is(before, &["from", "join", "using"])
            || kind_at(before) == Some(TokenKind::Comma);
        if !update && !source {
            return None;
        }
        let mut next = at + 1;
        if self.tokens.get(next).is_some_and(|it| it.text(self.text) == "*") {
            next += 1;
        }
        let named = self.is(next, &["as"]);
        next += usize::from(named);
        let follows = [
            "set",
            "where",
            "using",
            "join",
            "inner",
            "left",
            "right",
            "full",
            "cross",
            "natural",
            "on",
            "tablesample",
            "returning",
            "order",
        ];
        let alias = self.tokens.get(next).filter(|it| match it.kind {
            TokenKind::QuotedName => true,
            TokenKind::Word => named || !self.is(next, &follows),
            _ => false,
        });
        Some((update, alias.unwrap_or(&token).text(self.text).to_owned()))
    }

    /// The columns on the left sides of SET.
    fn assigned(&self) -> impl Iterator<Item = String> {
        let within = |token: &&Token| {
            let start = (0..self.tokens.len()).find(|&at| self.is(at, &["set"]));
            let end = (0..self.tokens.len()).find(|&at| self.is(at, &["from", "where"]));
            let of = |at: Option<usize>| at.map_or(self.text.len(), |at| self.tokens[at].start);
            token.start > of(start) && token.start < of(end)
        };
        let mut depth = 0u64;
        // Whether a column's name is to come, and whether in a list of them.
        let (mut left, mut list) = (true, false);
        self.all.iter().filter(within).filter_map(move |token| {
            match token.kind {
                TokenKind::Open => {
                    list = left && depth == 0;
                    depth += 1;
                }
                TokenKind::Close => {
                    depth = depth.saturating_sub(1);
                    list = false;
                    left = false;
                }
                TokenKind::Comma if depth == 0 => left = true,
                TokenKind::Word | TokenKind::QuotedName if list || (left && depth == 0) => {
                    left = list;
                    return name_of(token.text(self.text)).map(|it| it.name);
                }
                _ => (),
            }
            None
        })
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;

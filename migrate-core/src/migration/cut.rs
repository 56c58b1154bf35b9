//! Whether a statement can be cut into key ranges, and what it calls the table that they are of.

use std::ops::Range;

use super::directive::Batch;
use crate::sql::{
    lexer::{Lexer, Token, TokenKind},
    words::{Name, name_of},
};

const EACH_ROW: &str = "a batch can do what is done for each row by itself";

/// Why a statement cannot be cut, and what to do.
pub(super) struct Refused {
    pub(super) message: String,
    pub(super) hint: &'static str,
}

fn refused<T>(message: impl Into<String>, hint: &'static str) -> Result<T, Refused> {
    Err(Refused { message: message.into(), hint })
}

fn each_range<T>(word: &str) -> Result<T, Refused> {
    refused(format!("each range would do its own {}", word.to_ascii_uppercase()), EACH_ROW)
}

/// How a statement names the batch's table.
#[derive(Default)]
struct Named {
    /// It is what an UPDATE changes.
    target: bool,
    /// What its columns are qualified by.
    qualifier: String,
    may_lack: bool,
}

/// The tokens of a statement outside of all parentheses, but for the parentheses themselves.
pub(super) struct Read<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// With those inside.
    all: Vec<Token>,
}

impl<'a> Read<'a> {
    pub(super) fn new(text: &'a str) -> Read<'a> {
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
    pub(super) fn place(&self) -> Result<(Range<usize>, usize), Refused> {
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
    pub(super) fn check_where(&self, tag: &str, place: usize) -> Result<(), Refused> {
        const BESIDE: &str = "join it with AND to the rest of the WHERE, which goes into \
                              parentheses if it holds an OR";
        if !["UPDATE", "DELETE", "INSERT"].contains(&tag) {
            return refused(
                format!("{tag} cannot be cut into ranges"),
                "a batch is an UPDATE, a DELETE or an INSERT … SELECT",
            );
        }
        let whole = [
            "over",
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
        let changes = ["insert", "update", "delete", "merge"];
        let inside = self.all.windows(2).find(|it| {
            let word = it[1].text(self.text);
            it[0].kind == TokenKind::Open
                && it[1].kind == TokenKind::Word
                && changes.iter().any(|it| word.eq_ignore_ascii_case(it))
        });
        if let Some([_, word]) = inside {
            return each_range(word.text(self.text));
        }
        for at in 0..self.tokens.len() {
            let distinct = self.is(at, &["select"]) && self.is(at + 1, &["distinct"]);
            if distinct || (tag == "INSERT" && self.is(at, &whole)) {
                let word = self.tokens[at + usize::from(distinct)].text(self.text);
                return each_range(word);
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
    pub(super) fn qualifier(&self, batch: &Batch) -> Result<String, Refused> {
        let mut found = (0..self.tokens.len()).filter_map(|at| self.table_at(at, batch));
        let named = match (found.next(), found.next()) {
            (Some(one), None) => one,
            (Some(one), _) if batch.alias.is_some() => one,
            (None, _) if batch.alias.is_some() => Named::default(),
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
        let qualifier = batch.alias.clone().unwrap_or(named.qualifier);
        if named.may_lack {
            return refused(
                format!("an outer join may have rows without `{qualifier}`, which are in no range"),
                "write what is joined as sub-queries, or do those rows in a statement of their own",
            );
        }
        if let Some(changed) = self.updated()
            && name_of(&changed) != name_of(&qualifier)
        {
            return refused(
                format!(
                    "the ranges are of `{qualifier}`, and the statement changes `{changed}`: one \
                     of its rows could be changed by several ranges"
                ),
                "cut the table that is changed into ranges",
            );
        }
        if named.target
            && let Some(column) = self.assigned().find(|it| batch.key.contains(it))
        {
            return refused(
                format!("the statement changes `{column}`, a column of the batch's key"),
                "a row could move into a later range and be changed again: use another key",
            );
        }
        Ok(qualifier)
    }

    /// What an UPDATE calls the table that it changes.
    fn updated(&self) -> Option<String> {
        let update = (0..self.tokens.len()).find(|&at| self.is(at, &["update"]))?;
        if !(0..=update).all(|at| !self.is(at, &["insert", "delete", "conflict"])) {
            return None;
        }
        let mut at = update + 1 + usize::from(self.is(update + 1, &["only"]));
        while self.tokens.get(at + 1)?.kind == TokenKind::Dot {
            at += 2;
        }
        Some(self.alias(at).text(self.text).to_owned())
    }

    /// Functions that are called outside of sub-queries.
    pub(super) fn calls(&self) -> Vec<Name> {
        let (mut found, mut inside) = (Vec::new(), Vec::new());
        for (at, token) in self.all.iter().enumerate() {
            match token.kind {
                TokenKind::Open => {
                    let query = self.all.get(at + 1).is_some_and(|it| {
                        let word = it.text(self.text);
                        ["select", "with", "values"].iter().any(|it| word.eq_ignore_ascii_case(it))
                    });
                    if !inside.contains(&true) && !query {
                        found.extend(self.called(at));
                    }
                    inside.push(query);
                }
                TokenKind::Close => drop(inside.pop()),
                _ => (),
            }
        }
        found
    }

    /// The name in front of a parenthesis.
    fn called(&self, open: usize) -> Option<Name> {
        let is_name =
            |at: usize| matches!(self.all[at].kind, TokenKind::Word | TokenKind::QuotedName);
        let last = open.checked_sub(1).filter(|&at| is_name(at))?;
        let mut first = last;
        while first >= 2 && self.all[first - 1].kind == TokenKind::Dot && is_name(first - 2) {
            first -= 2;
        }
        name_of(&self.text[self.all[first].start..self.all[last].end])
    }

    /// The table, if it is named here as one to change or to read from.
    fn table_at(&self, at: usize, batch: &Batch) -> Option<Named> {
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
        let target = self.is(before, &["update"]);
        let source = self.is(before, &["from", "join", "using"])
            || kind_at(before) == Some(TokenKind::Comma);
        (target || source).then(|| Named {
            target,
            qualifier: self.alias(at).text(self.text).to_owned(),
            may_lack: self.may_lack(before, at),
        })
    }

    /// Whether an outer join may put nulls in the place of a table's rows; `before` is the word in
    /// front of its name.
    fn may_lack(&self, before: usize, at: usize) -> bool {
        let outer_join = |join: usize, sides: &[&str]| {
            let side =
                join.saturating_sub(1 + usize::from(self.is(join.saturating_sub(1), &["outer"])));
            self.is(join, &["join"]) && self.is(side, sides)
        };
        outer_join(before, &["left", "full"])
            || (at..self.tokens.len()).any(|it| outer_join(it, &["right", "full"]))
    }

    /// The alias of the table whose name ends at a token, or else that token.
    fn alias(&self, at: usize) -> Token {
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
        *alias.unwrap_or(&self.tokens[at])
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

//! A script as the rules look at it: statement by statement, with what each does to tables.

use crate::{
    error::Result,
    migration::script::Script,
    sql::{
        effects::Effects,
        kind::Kind,
        lexer::TokenKind,
        split::{Statement, split},
        words::{Name, Words},
    },
};

pub(super) struct View<'a> {
    pub(super) text: &'a str,
    pub(super) transaction: bool,
    pub(super) statements: Vec<Seen<'a>>,
}

pub(super) struct Seen<'a> {
    pub(super) statement: Statement,
    pub(super) text: &'a str,
    pub(super) effects: Effects,
}

impl<'a> View<'a> {
    /// Fails where the script cannot be split.
    pub(super) fn of(script: &'a Script, transaction: bool) -> Result<View<'a>> {
        let text: &str = &script.text;
        let statements = split(&script.file, text, script.first_line)
            .map(|statement| {
                let statement = statement?;
                let own = statement.text(text);
                let effects = Effects::of(own, &statement.kind);
                Ok(Seen { text: own, effects, statement })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(View { text, transaction, statements })
    }

    /// Whether a statement before this one makes the table: then nobody else uses it yet.
    pub(super) fn is_new(&self, index: usize, table: &Name) -> bool {
        self.statements[..index].iter().any(|it| it.effects.creates.as_ref() == Some(table))
    }
}

impl<'a> Seen<'a> {
    pub(super) fn is(&self, tag: &str) -> bool {
        self.statement.tag() == tag
    }

    /// Of its words, in lower case and outside of strings, whether these stand one behind the other.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        let all = self.words();
        all.windows(words.len()).any(|it| it.iter().zip(words).all(|(one, other)| one == other))
    }

    /// Its unquoted words in lower case; names in quotes and strings are left out.
    pub(super) fn words(&self) -> Vec<String> {
        words_of(self.text)
    }

    pub(super) fn begins_with(&self, words: &[&str]) -> bool {
        Words::new(self.text, true).accept_all(words)
    }

    /// The body of a DO block, without its quotes.
    pub(super) fn body(&self) -> Option<&'a str> {
        if !self.is("DO") {
            return None;
        }
        let mut words = Words::new(self.text, true);
        while let Some(token) = words.next() {
            let text = token.text(self.text);
            if token.kind == TokenKind::Text
                && let Some(end) = text.strip_prefix('$').and_then(|it| it.find('$'))
            {
                let quote = end + 2;
                return text.get(quote..text.len() - quote);
            }
        }
        None
    }

    pub(super) fn is_rows(&self) -> bool {
        ["UPDATE", "DELETE"].contains(&self.statement.tag())
            && matches!(self.statement.kind, Kind::Other { .. })
    }
}

/// The unquoted words of a text in lower case.
pub(super) fn words_of(text: &str) -> Vec<String> {
    let mut words = Words::new(text, true);
    let mut found = Vec::new();
    while let Some(token) = words.next() {
        if token.kind == TokenKind::Word {
            found.push(token.text(text).to_ascii_lowercase());
        }
    }
    found
}

/// The same, of what stands in no parentheses.
pub(super) fn outer_words_of(text: &str) -> Vec<String> {
    let mut words = Words::new(text, true);
    let mut found = Vec::new();
    let mut depth = 0usize;
    while let Some(token) = words.next() {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 => found.push(token.text(text).to_ascii_lowercase()),
            _ => (),
        }
    }
    found
}

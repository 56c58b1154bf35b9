//! Reads a statement word by word, as far as its kind needs, and the names in it.

use std::{borrow::Cow, fmt};

use super::lexer::{Lexer, Token, TokenKind};

/// The name of an object as the catalog holds it: unquoted, folded and cut like the server does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub schema: Option<String>,
    pub name: String,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Reads a text that is a name and nothing else.
pub fn name_of(text: &str) -> Option<Name> {
    let mut words = Words::new(text, true);
    let name = words.name()?;
    words.peek().is_none().then_some(name)
}

/// Copying it is cheap and is how a reader looks ahead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(text: &'a str, standard_strings: bool) -> Self {
        let mut lexer = Lexer::new(text);
        lexer.standard_strings = standard_strings;
        Words { text, lexer }
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        self.lexer.next_significant().ok().flatten()
    }

    pub(crate) fn peek(mut self) -> Option<Token> {
        self.next()
    }

    pub(crate) fn text(&self, token: Token) -> &'a str {
        token.text(self.text)
    }

    /// The next token if it is unquoted, whatever it says.
    pub(crate) fn word(&mut self) -> Option<&'a str> {
        let token = self.peek().filter(|token| token.kind == TokenKind::Word)?;
        self.next();
        Some(self.text(token))
    }

    pub(crate) fn accept(&mut self, keyword: &str) -> bool {
        let mut ahead = *self;
        let found = ahead.word().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        if found {
            *self = ahead;
        }
        found
    }

    /// All of them in this order, or none.
    pub(crate) fn accept_all(&mut self, keywords: &[&str]) -> bool {
        let mut ahead = *self;
        let found = keywords.iter().all(|keyword| ahead.accept(keyword));
        if found {
            *self = ahead;
        }
        found
    }

    pub(crate) fn accept_any(&mut self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.accept(keyword))
    }

    pub(crate) fn accept_kind(&mut self, kind: TokenKind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == kind);
        if found {
            self.next();
        }
        found
    }

    /// Leaves out a parenthesised list if one comes next.
    pub(crate) fn skip_parentheses(&mut self) {
        if !self.accept_kind(TokenKind::Open) {
            return;
        }
        let mut depth = 1u64;
        while depth > 0 {
            match self.next().map(|token| token.kind) {
                Some(TokenKind::Open) => depth += 1,
                Some(TokenKind::Close) => depth -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }

    /// The words of `(OPTION, OPTION value, OPTION = value)`, lower-cased, value empty if absent.
    pub(crate) fn options(&mut self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if !self.accept_kind(TokenKind::Open) {
            return found;
        }
        let mut current: Vec<String> = Vec::new();
        while let Some(token) = self.next() {
            match token.kind {
                TokenKind::Comma | TokenKind::Close => {
                    let mut parts = current.drain(..);
                    if let Some(option) = parts.next() {
                        found.push((option, parts.next().unwrap_or_default()));
                    }
                    drop(parts);
                    if token.kind == TokenKind::Close {
                        break;
                    }
                }
                TokenKind::Symbol => {}
                _ => current.push(self.text(token).trim_matches(['\'', '"']).to_ascii_lowercase()),
            }
        }
        found
    }

    /// `name`, `schema.name` or `database.schema.name`.
    pub(crate) fn name(&mut self) -> Option<Name> {
        let mut name = Name { schema: None, name: self.identifier()? };
        while self.accept_kind(TokenKind::Dot) {
            name.schema = Some(name.name);
            name.name = self.identifier()?;
        }
        Some(name)
    }

    /// What stands before the last dot of a name: the table of a column.
    pub(crate) fn qualifier(&mut self) -> Option<Name> {
        let mut name = Name { schema: None, name: self.identifier()? };
        let mut qualifier = None;
        while self.accept_kind(TokenKind::Dot) {
            qualifier = Some(name.clone());
            name.schema = Some(name.name);
            name.name = self.identifier()?;
        }
        qualifier
    }

    pub(crate) fn names(&mut self) -> Vec<Name> {
        let mut names = Vec::from_iter(self.name());
        while self.accept_kind(TokenKind::Comma) {
            names.extend(self.name());
        }
        names
    }

    fn identifier(&mut self) -> Option<String> {
        let token = self.peek()?;
        let written = self.text(token);
        let name = match token.kind {
            TokenKind::Word => Cow::Owned(written.to_ascii_lowercase()),
            TokenKind::QuotedName => unquote(written),
            _ => return None,
        };
        self.next();
        Some(cut(&name).to_owned())
    }
}

fn unquote(written: &str) -> Cow<'_, str> {
    let quoted = written.trim_start_matches(['u', 'U', '&']);
    let inner = quoted[1..quoted.len() - 1].replace("\"\"", "\"");
    if quoted.len() == written.len() { Cow::Owned(inner) } else { Cow::Owned(unescape(&inner)) }
}

/// `\0061` and `\+000061` of `U&"…"`; another UESCAPE character is not looked for.
fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('\\') {
            result.push('\\');
            rest = after;
            continue;
        }
        let (digits, length) = if rest.starts_with('+') { (1, 6) } else { (0, 4) };
        let code = rest.get(digits..digits + length);
        let character = code.and_then(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?));
        match character {
            Some(character) => {
                result.push(character);
                rest = &rest[digits + length..];
            }
            None => result.push('\\'),
        }
    }
    result + rest
}

/// The server keeps 63 bytes of a name.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(63)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Words::new(text, true).names().iter().map(Name::to_string).collect()
    }

    #[test]
    fn names_are_as_the_catalog_holds_them() {
        assert_eq!(names("Users"), ["users"]);
        assert_eq!(names(r#"App . "User ""x""" , /* c */ É"#), [r#"app.User "x""#, "É"]);
        assert_eq!(names("db.app.t"), ["app.t"]);
        assert_eq!(names(r#"U&"d\0061t\+000061\\""#), [r"data\"]);
        assert_eq!(names(&"é".repeat(40)), ["é".repeat(31)]);
    }

    #[test]
    fn options_are_read_with_and_without_values() {
        let found = Words::new("(Concurrently, verbose FALSE, a = 'Off')", true).options();
        let expected = [("concurrently", ""), ("verbose", "false"), ("a", "off")];
        assert_eq!(found, expected.map(|(option, value)| (option.to_owned(), value.to_owned())));
    }
}

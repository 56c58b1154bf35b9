//! Cuts SQL into tokens by the rules of psql's lexer (`psqlscan.l`); every byte belongs to one token.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    Space,
    Comment,
    /// An unquoted name or keyword.
    Word,
    /// `"name"` or `U&"name"`.
    QuotedName,
    /// Any string: `'…'`, `E'…'`, `B'…'`, `X'…'`, `U&'…'`, `$tag$…$tag$`.
    Text,
    Number,
    Open,
    Close,
    Comma,
    Dot,
    Semicolon,
    /// Outside quotes a backslash starts one of psql's own commands.
    Backslash,
    /// Operators, `$1`, `:`, brackets and what no rule knows.
    Symbol,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

impl Token {
    pub fn text(self, sql: &str) -> &str {
        &sql[self.start..self.end]
    }

    /// White space and comments mean nothing to the server.
    pub fn is_significant(self) -> bool {
        !matches!(self.kind, TokenKind::Space | TokenKind::Comment)
    }
}

/// A quote or comment that the text ends in; `at` is the byte where it opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unterminated {
    pub what: &'static str,
    pub at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Plain,
    /// A backslash takes the next character along.
    Escaped,
}

#[derive(Debug, Clone, Copy)]
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// The server's `standard_conforming_strings`: off means that `'…'` knows backslash escapes.
    pub standard_strings: bool,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Lexer { text, at: 0, standard_strings: true }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Goes on at another byte, which must begin a character.
    pub fn seek(&mut self, at: usize) {
        self.at = at;
    }

    pub fn next_token(&mut self) -> Result<Option<Token>, Unterminated> {
        let start = self.at;
        let Some(&first) = self.text.as_bytes().get(start) else { return Ok(None) };
        let (kind, end) = self.scan(first)?;
        self.at = end;
        Ok(Some(Token { kind, start, end }))
    }

    pub fn next_significant(&mut self) -> Result<Option<Token>, Unterminated> {
        loop {
            match self.next_token()? {
                Some(token) if !token.is_significant() => {}
                other => return Ok(other),
            }
        }
    }

    fn scan(&self, first: u8) -> Result<(TokenKind, usize), Unterminated> {
        let at = self.at;
        let one = |kind| Ok((kind, at + 1));
        match first {
            _ if is_space(first) => Ok((TokenKind::Space, self.end_while(at + 1, is_space))),
            b'-' if self.byte(at + 1) == Some(b'-') => Ok((TokenKind::Comment, self.line_end(at))),
            b'/' if self.byte(at + 1) == Some(b'*') => self.block_comment(),
            b'\'' => self.string(at, self.default_quote()),
            b'"' => self.quoted_name(at),
            b'$' => self.dollar(),
            b'(' => one(TokenKind::Open),
            b')' => one(TokenKind::Close),
            b',' => one(TokenKind::Comma),
            b';' => one(TokenKind::Semicolon),
            b'\\' => one(TokenKind::Backslash),
            b'.' if !self.byte(at + 1).is_some_and(|b| b.is_ascii_digit()) => one(TokenKind::Dot),
            b'.' | b'0'..=b'9' => Ok((TokenKind::Number, self.number_end())),
            _ if is_name_start(first) => self.word_or_prefix(first),
            _ if is_operator(first) => Ok((TokenKind::Symbol, self.operator_end())),
            _ => one(TokenKind::Symbol),
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn end_while(&self, from: usize, belongs: impl Fn(u8) -> bool) -> usize {
        let bytes = self.text.as_bytes();
        bytes[from..].iter().position(|&b| !belongs(b)).map_or(bytes.len(), |n| from + n)
    }

    fn line_end(&self, from: usize) -> usize {
        self.end_while(from, |b| b != b'\n' && b != b'\r')
    }

    fn default_quote(&self) -> Quote {
        if self.standard_strings { Quote::Plain } else { Quote::Escaped }
    }

    fn block_comment(&self) -> Result<(TokenKind, usize), Unterminated> {
        let bytes = self.text.as_bytes();
        let mut depth = 0u64;
        let mut at = self.at;
        while at + 1 < bytes.len() {
            match (bytes[at], bytes[at + 1]) {
                (b'/', b'*') => {
                    depth += 1;
                    at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Ok((TokenKind::Comment, at));
                    }
                }
                _ => at += 1,
            }
        }
        Err(Unterminated { what: "comment `/*`", at: self.at })
    }

    /// `quote` is the byte of the opening quote, after any prefix.
    fn string(&self, quote: usize, mode: Quote) -> Result<(TokenKind, usize), Unterminated> {
        let bytes = self.text.as_bytes();
        let mut at = quote + 1;
        while let Some(&b) = bytes.get(at) {
            match b {
                b'\\' if mode == Quote::Escaped => at += 2,
                b'\'' if self.byte(at + 1) == Some(b'\'') => at += 2,
                b'\'' => match self.continuation(at + 1) {
                    Some(next) => at = next,
                    None => return Ok((TokenKind::Text, at + 1)),
                },
                _ => at += 1,
            }
        }
        Err(Unterminated { what: "string", at: self.at })
    }

    /// A string goes on in the next one if only white space with a newline stands between.
    fn continuation(&self, mut at: usize) -> Option<usize> {
        let mut newline = false;
        loop {
            match self.byte(at)? {
                b'\'' if newline => return Some(at + 1),
                b'\n' | b'\r' => {
                    newline = true;
                    at += 1;
                }
                b if is_space(b) => at += 1,
                b'-' if self.byte(at + 1) == Some(b'-') => at = self.line_end(at),
                _ => return None,
            }
        }
    }

    fn quoted_name(&self, quote: usize) -> Result<(TokenKind, usize), Unterminated> {
        let mut at = quote + 1;
        loop {
            at = self.end_while(at, |b| b != b'"');
            match (self.byte(at), self.byte(at + 1)) {
                (None, _) => return Err(Unterminated { what: "quoted name", at: self.at }),
                (_, Some(b'"')) => at += 2,
                _ => return Ok((TokenKind::QuotedName, at + 1)),
            }
        }
    }

    /// `$tag$…$tag$`, `$1`, or a dollar sign alone.
    fn dollar(&self) -> Result<(TokenKind, usize), Unterminated> {
        let tag_start = self.at + 1;
        if self.byte(tag_start).is_some_and(|b| b.is_ascii_digit()) {
            let end = self.end_while(tag_start, |b| b.is_ascii_digit());
            return Ok((TokenKind::Symbol, end));
        }
        let tag_end = self.end_while(tag_start, |b| is_name_start(b) || b.is_ascii_digit());
        if self.byte(tag_end) != Some(b'$') {
            return Ok((TokenKind::Symbol, tag_start));
        }
        let tag = &self.text[self.at..=tag_end];
        match self.text[tag_end + 1..].find(tag) {
            Some(length) => Ok((TokenKind::Text, tag_end + 1 + length + tag.len())),
            None => Err(Unterminated { what: "dollar quote", at: self.at }),
        }
    }

    fn word_or_prefix(&self, first: u8) -> Result<(TokenKind, usize), Unterminated> {
        let next = self.byte(self.at + 1);
        match (first, next, self.byte(self.at + 2)) {
            (b'e' | b'E', Some(b'\''), _) => self.string(self.at + 1, Quote::Escaped),
            (b'b' | b'B' | b'x' | b'X', Some(b'\''), _) => self.string(self.at + 1, Quote::Plain),
            (b'n' | b'N', Some(b'\''), _) => self.string(self.at + 1, self.default_quote()),
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => self.string(self.at + 2, Quote::Plain),
            (b'u' | b'U', Some(b'&'), Some(b'"')) => self.quoted_name(self.at + 2),
            _ => Ok((TokenKind::Word, self.end_while(self.at + 1, is_name_part))),
        }
    }

    fn number_end(&self) -> usize {
        let digits = |from| self.end_while(from, |b| b.is_ascii_digit());
        let mut end = digits(self.at);
        // `1..10` is two numbers and a range.
        if self.byte(end) == Some(b'.') && self.byte(end + 1) != Some(b'.') {
            end = digits(end + 1);
        }
        if !matches!(self.byte(end), Some(b'e' | b'E')) {
            return end;
        }
        let exponent = end + 1 + usize::from(matches!(self.byte(end + 1), Some(b'+' | b'-')));
        let exponent_end = if exponent <= self.text.len() { digits(exponent) } else { exponent };
        if exponent_end > exponent { exponent_end } else { end }
    }

    /// An operator stops where a comment starts inside it.
    fn operator_end(&self) -> usize {
        let end = self.end_while(self.at + 1, is_operator);
        let run = &self.text.as_bytes()[self.at..end];
        let comment = run.windows(2).position(|pair| pair == b"--" || pair == b"/*");
        comment.map_or(end, |n| self.at + n.max(1))
    }
}

fn is_space(b: u8) -> bool {
    // The vertical tab is white space since PostgreSQL 16 and a syntax error before.
    matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn is_name_start(b: u8) -> bool {
    b.is_ascii_alphabetic() || b == b'_' || b >= 0x80
}

fn is_name_part(b: u8) -> bool {
    is_name_start(b) || b.is_ascii_digit() || b == b'$'
}

fn is_operator(b: u8) -> bool {
    b"~!@#^&|`?+-*/%<>=".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::TokenKind::*;
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        let mut lexer = Lexer::new(text);
        let mut found = Vec::new();
        while let Some(token) = lexer.next_significant().unwrap() {
            found.push((token.kind, token.text(text)));
        }
        found
    }

    fn check(text: &str, expected: &[(TokenKind, &str)]) {
        assert_eq!(kinds(text), expected, "{text}");
    }

    #[test]
    fn quotes_are_one_token_each() {
        check("'a''b;'", &[(Text, "'a''b;'")]);
        check(r"'a\' x", &[(Text, r"'a\'"), (Word, "x")]);
        check(r"E'a\'b' x", &[(Text, r"E'a\'b'"), (Word, "x")]);
        check("b'01' X'ff' N'é'", &[(Text, "b'01'"), (Text, "X'ff'"), (Text, "N'é'")]);
        check(r#"U&'\0061' u&"a;""b""#, &[(Text, r"U&'\0061'"), (QuotedName, r#"u&"a;""b""#)]);
        check("u & 'x'", &[(Word, "u"), (Symbol, "&"), (Text, "'x'")]);
    }

    #[test]
    fn a_string_goes_on_after_a_newline_in_the_same_mode() {
        check("E'a' -- c\n 'b\\'' x", &[(Text, "E'a' -- c\n 'b\\''"), (Word, "x")]);
        check("E'a' 'b\\' x", &[(Text, "E'a'"), (Text, "'b\\'"), (Word, "x")]);
    }

    #[test]
    fn strings_know_backslashes_when_they_are_not_standard() {
        let mut lexer = Lexer::new(r"'a\';' x");
        lexer.standard_strings = false;
        let token = lexer.next_token().unwrap().unwrap();
        assert_eq!((token.kind, token.end), (Text, 6));
    }

    #[test]
    fn dollar_quotes_do_not_start_inside_names() {
        check("$$;$$", &[(Text, "$$;$$")]);
        check("$é1$ $$ $x$é1$ $é", &[(Text, "$é1$ $$ $x$é1$"), (Symbol, "$"), (Word, "é")]);
        check("a$$b", &[(Word, "a$$b")]);
        check("$1$$x$$", &[(Symbol, "$1"), (Text, "$$x$$")]);
        check("1$$x$$", &[(Number, "1"), (Text, "$$x$$")]);
    }

    #[test]
    fn comments_nest_and_end_operators() {
        check("/* a /* b */ ; */ x", &[(Word, "x")]);
        check("/*/ */x", &[(Word, "x")]);
        check("1+/* c */2", &[(Number, "1"), (Symbol, "+"), (Number, "2")]);
        check("a*/**/b", &[(Word, "a"), (Symbol, "*"), (Word, "b")]);
        check("1<--c\r2", &[(Number, "1"), (Symbol, "<"), (Number, "2")]);
    }

    #[test]
    fn numbers_and_names_part_where_the_server_parts_them() {
        check("1.5e-3", &[(Number, "1.5e-3")]);
        check("1..2", &[(Number, "1"), (Dot, "."), (Number, ".2")]);
        check("1e", &[(Number, "1"), (Word, "e")]);
        check(
            "a.b::int",
            &[(Word, "a"), (Dot, "."), (Word, "b"), (Symbol, ":"), (Symbol, ":"), (Word, "int")],
        );
    }

    #[test]
    fn what_is_not_closed_names_where_it_opened() {
        for (text, what, at) in [
            ("x 'a", "string", 2),
            ("x E'a\\'", "string", 2),
            ("\"a\"\"", "quoted name", 0),
            ("$a$ $b$", "dollar quote", 0),
            ("1 /* /* */", "comment `/*`", 2),
            ("E'\\", "string", 0),
        ] {
            let mut lexer = Lexer::new(text);
            let error = std::iter::repeat_with(|| lexer.next_token()).find_map(Result::err);
            assert_eq!(error, Some(Unterminated { what, at }), "{text}");
        }
    }
}

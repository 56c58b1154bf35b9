//! Keeps statements from the parser that would take it too deep.

use crate::sql::{lexer::TokenKind, words::Words};

/// The parser calls itself for what is nested, and a stack that overflows cannot be caught. This
/// many levels fit into the two megabytes of a thread, even in a debug build.
const DEEPEST: usize = 400;
/// Nobody writes DDL of a megabyte, and the time would be missed elsewhere.
const LONGEST: usize = 1 << 20;

/// Nesting is at most as deep as the tokens on the way in: those behind the last comma, in each
/// of the parentheses that are open.
pub(crate) fn is_readable(statement: &str) -> bool {
    if statement.len() > LONGEST {
        return false;
    }
    let mut words = Words::new(statement, true);
    let mut levels = vec![0];
    let mut depth = 0;
    while let Some(token) = words.next() {
        match token.kind {
            TokenKind::Open => levels.push(0),
            TokenKind::Close if levels.len() > 1 => depth -= levels.pop().unwrap_or(0),
            TokenKind::Comma => {
                let level = levels.last_mut().expect("the outermost level stays");
                depth -= std::mem::take(level);
            }
            _ => {}
        }
        // A parenthesis is a step into the depth, too.
        *levels.last_mut().expect("the outermost level stays") += 1;
        depth += 1;
        if depth > DEEPEST {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{
        effects::{Class, Effects},
        kind::kind_of,
    };

    /// In the two megabytes that a test has.
    #[test]
    fn what_is_too_deep_is_left_alone_and_the_deepest_allowed_is_read() {
        for (open, close) in [
            ("(", ")"),
            ("not ", ""),
            ("- ", ""),
            ("array[", "]"),
            ("case when true then ", " end"),
        ] {
            let nested = |levels| {
                let (open, close) = (open.repeat(levels), close.repeat(levels));
                format!("create table t as select {open} 1 {close}")
            };
            let deepest = (1..DEEPEST).rev().find(|it| is_readable(&nested(*it))).unwrap();
            assert!(deepest > 50, "{open}");
            for (levels, class) in [(deepest, Class::CreateTable), (100_000, Class::Unknown)] {
                let sql = nested(levels);
                let effects = Effects::of(&sql, &kind_of(&sql, true));
                assert_eq!(effects.actions[0].class, class, "{levels} times {open}");
            }
        }
    }

    #[test]
    fn a_long_list_is_not_deep() {
        let columns = vec!["c numeric(10, 2) default (1 + 1)"; 1600].join(", ");
        assert!(is_readable(&format!("create table t ({columns})")));
        assert!(!is_readable(&format!(
            "create table t (c text default '{}')",
            "x".repeat(LONGEST)
        )));
    }
}

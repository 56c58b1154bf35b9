//! What an executor must know about a statement before it sends it.

use std::borrow::Cow;

use super::{
    alone::{self, Alone},
    lexer::TokenKind,
    setting, tag,
    words::Words,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    TransactionControl(Control),
    Savepoint(Savepoint),
    /// The settings of a session: SET, RESET, SET ROLE, DISCARD PLANS; `name` is lower-cased.
    Set {
        name: String,
        local: bool,
        tag: &'static str,
    },
    /// Rows follow the statement in the file.
    CopyFromStdin,
    CopyToStdout,
    /// The server refuses it inside a transaction block.
    Alone(Alone),
    Other {
        tag: Cow<'static, str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// `plain` is without an isolation level or another mode.
    Begin {
        plain: bool,
    },
    Commit,
    CommitAndChain,
    Rollback,
    RollbackAndChain,
    PrepareTransaction,
    CommitPrepared,
    RollbackPrepared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Savepoint {
    Savepoint,
    Release,
    RollbackTo,
}

impl Kind {
    /// The command tag, in the server's words where the server has one for it.
    pub fn tag(&self) -> &str {
        match self {
            Kind::TransactionControl(control) => control.tag(),
            Kind::Savepoint(Savepoint::Savepoint) => "SAVEPOINT",
            Kind::Savepoint(Savepoint::Release) => "RELEASE",
            Kind::Savepoint(Savepoint::RollbackTo) => "ROLLBACK",
            Kind::Set { tag, .. } => tag,
            Kind::CopyFromStdin | Kind::CopyToStdout => "COPY",
            Kind::Alone(alone) => alone.tag(),
            Kind::Other { tag } => tag,
        }
    }

    /// False for what the server refuses inside a transaction block. Commands that begin or end
    /// one are not refused there, and are told by `Kind::TransactionControl`.
    pub fn runs_in_transaction(&self) -> bool {
        !matches!(
            self,
            Kind::Alone(_)
                | Kind::TransactionControl(Control::CommitPrepared | Control::RollbackPrepared)
        )
    }

    /// True for what must not share a message with other statements.
    pub fn needs_own_message(&self) -> bool {
        match self {
            Kind::TransactionControl(_)
            | Kind::Alone(_)
            | Kind::CopyFromStdin
            | Kind::CopyToStdout => true,
            Kind::Set { name, .. } => setting::changes_reading(name),
            Kind::Savepoint(_) | Kind::Other { .. } => false,
        }
    }
}

impl Control {
    pub fn tag(self) -> &'static str {
        match self {
            Control::Begin { .. } => "BEGIN",
            Control::Commit => "COMMIT",
            Control::CommitAndChain => "COMMIT AND CHAIN",
            Control::Rollback => "ROLLBACK",
            Control::RollbackAndChain => "ROLLBACK AND CHAIN",
            Control::PrepareTransaction => "PREPARE TRANSACTION",
            Control::CommitPrepared => "COMMIT PREPARED",
            Control::RollbackPrepared => "ROLLBACK PREPARED",
        }
    }
}

/// Reads as few words as it can: an INSERT of 100 MB costs one.
pub(super) fn kind_of(statement: &str, standard_strings: bool) -> Kind {
    let start = Words::new(statement, standard_strings);
    let mut words = start;
    let first = words.word().unwrap_or_default();
    let found = match first.to_ascii_lowercase().as_str() {
        "begin" => Some(begin(words)),
        "start" if words.accept("transaction") => Some(begin(words)),
        "commit" | "end" => Some(commit(words)),
        "rollback" | "abort" => Some(rollback(words)),
        "prepare" if words.accept("transaction") => {
            Some(Kind::TransactionControl(Control::PrepareTransaction))
        }
        "savepoint" => Some(Kind::Savepoint(Savepoint::Savepoint)),
        "release" => Some(Kind::Savepoint(Savepoint::Release)),
        "set" => Some(setting::set(words)),
        "reset" => Some(setting::reset(words)),
        "copy" => copy(words),
        _ => alone::alone(start).map(Kind::Alone),
    };
    match found {
        Some(kind) => kind,
        None if first.eq_ignore_ascii_case("discard") => setting::discard(words),
        None => Kind::Other { tag: tag::tag(start) },
    }
}

fn begin(mut words: Words<'_>) -> Kind {
    words.accept_any(&["work", "transaction"]);
    Kind::TransactionControl(Control::Begin { plain: words.peek().is_none() })
}

fn commit(mut words: Words<'_>) -> Kind {
    Kind::TransactionControl(if words.accept("prepared") {
        Control::CommitPrepared
    } else if chains(&mut words) {
        Control::CommitAndChain
    } else {
        Control::Commit
    })
}

fn rollback(mut words: Words<'_>) -> Kind {
    if words.accept("prepared") {
        return Kind::TransactionControl(Control::RollbackPrepared);
    }
    let chain = chains(&mut words);
    if words.accept("to") {
        return Kind::Savepoint(Savepoint::RollbackTo);
    }
    Kind::TransactionControl(if chain { Control::RollbackAndChain } else { Control::Rollback })
}

fn chains(words: &mut Words<'_>) -> bool {
    words.accept_any(&["work", "transaction"]);
    words.accept_all(&["and", "chain"])
}

/// The direction stands behind the table or the query, outside of parentheses.
fn copy(mut words: Words<'_>) -> Option<Kind> {
    loop {
        if words.peek()?.kind == TokenKind::Open {
            words.skip_parentheses();
        } else if words.accept("from") {
            return words.accept_any(&["stdin", "stdout"]).then_some(Kind::CopyFromStdin);
        } else if words.accept("to") {
            return words.accept_any(&["stdin", "stdout"]).then_some(Kind::CopyToStdout);
        } else {
            words.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(control: Control) -> Kind {
        Kind::TransactionControl(control)
    }

    #[test]
    fn transaction_control_is_seen_in_all_its_spellings() {
        for (sql, expected) in [
            ("BEGIN", control(Control::Begin { plain: true })),
            ("begin/* c */work", control(Control::Begin { plain: true })),
            ("Start Transaction", control(Control::Begin { plain: true })),
            ("begin isolation level serializable", control(Control::Begin { plain: false })),
            ("start transaction read only", control(Control::Begin { plain: false })),
            ("commit work and no chain", control(Control::Commit)),
            ("end", control(Control::Commit)),
            ("commit and chain", control(Control::CommitAndChain)),
            ("rollback transaction", control(Control::Rollback)),
            ("abort and chain", control(Control::RollbackAndChain)),
            ("prepare transaction 'x'", control(Control::PrepareTransaction)),
            ("commit prepared 'x'", control(Control::CommitPrepared)),
            ("rollback prepared 'x'", control(Control::RollbackPrepared)),
            ("rollback work to savepoint a", Kind::Savepoint(Savepoint::RollbackTo)),
            ("rollback to a", Kind::Savepoint(Savepoint::RollbackTo)),
            ("savepoint a", Kind::Savepoint(Savepoint::Savepoint)),
            ("release savepoint a", Kind::Savepoint(Savepoint::Release)),
            ("prepare q as select 1", Kind::Other { tag: "PREPARE".into() }),
            ("\"begin\"", Kind::Other { tag: "SQL".into() }),
        ] {
            assert_eq!(kind_of(sql, true), expected, "{sql}");
        }
    }

    #[test]
    fn settings_are_named_whatever_their_spelling() {
        for (sql, name, local, tag) in [
            ("SET Search_Path = x", "search_path", false, "SET"),
            ("set local my.Var to 1", "my.var", true, "SET"),
            ("set session work_mem = 1", "work_mem", false, "SET"),
            ("set role none", "role", false, "SET"),
            ("set local session authorization x", "session_authorization", true, "SET"),
            ("set session authorization x", "session_authorization", false, "SET"),
            ("set time zone 'UTC'", "timezone", false, "SET"),
            ("set names 'utf8'", "client_encoding", false, "SET"),
            ("set schema 'x'", "search_path", false, "SET"),
            ("set transaction read only", "transaction", true, "SET"),
            ("reset all", "all", false, "RESET"),
            ("reset session authorization", "session_authorization", false, "RESET"),
            ("discard temp", "temp", false, "DISCARD TEMP"),
        ] {
            let expected = Kind::Set { name: name.to_owned(), local, tag };
            assert_eq!(kind_of(sql, true), expected, "{sql}");
        }
        assert_eq!(kind_of("set constraints all deferred", true).tag(), "SET CONSTRAINTS");
    }

    #[test]
    fn copy_is_told_by_where_its_rows_come_from() {
        let other = || Kind::Other { tag: "COPY".into() };
        for (sql, expected) in [
            ("copy t from stdin", Kind::CopyFromStdin),
            ("COPY s.\"from\" (a, \"to\") FROM STDIN WITH (format csv)", Kind::CopyFromStdin),
            ("copy (select a from stdin) to stdout", Kind::CopyToStdout),
            ("copy t to 'stdout'", other()),
            ("copy t from program 'stdin'", other()),
        ] {
            assert_eq!(kind_of(sql, true), expected, "{sql}");
        }
    }

    #[test]
    fn some_statements_need_a_message_of_their_own() {
        for (sql, own, in_transaction) in [
            ("select 1", false, true),
            ("set search_path = x", false, true),
            ("set standard_conforming_strings = on", true, true),
            ("reset all", true, true),
            ("copy t from stdin", true, true),
            ("copy t to stdout", true, true),
            ("commit", true, true),
            ("commit prepared 'x'", true, false),
            ("vacuum", true, false),
        ] {
            let kind = kind_of(sql, true);
            assert_eq!(
                (kind.needs_own_message(), kind.runs_in_transaction()),
                (own, in_transaction),
                "{sql}"
            );
        }
    }
}

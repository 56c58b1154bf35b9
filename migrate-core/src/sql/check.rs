//! Looks through a whole script once before anything of it is sent.

use super::{
    kind::{Control, Kind},
    split::{Statement, split},
};
use crate::error::{Error, Location, Result};

/// What one pass over a script found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Without the `BEGIN` and `COMMIT` around a wrapped script.
    pub statements: u64,
    /// Of them, those that the server refuses inside a transaction block.
    pub alone: u64,
    pub copies: u64,
    /// The file says `BEGIN; … COMMIT;` itself: these two are left out when it runs.
    pub wrapped: bool,
    /// Whether it runs in a transaction.
    pub transaction: bool,
}

/// What a script says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Transaction,
    /// `transaction:false`
    Alone,
    /// Without a marker: outside a transaction if none of its statements can run in one.
    Unmarked,
}

/// A script that runs in a transaction may hold nothing that begins, ends or can't join a transaction,
/// but for one `BEGIN` and `COMMIT` around everything.
pub fn check(
    file: &str,
    text: &str,
    first_line: u32,
    mode: Mode,
    mut see: impl FnMut(&str, &Kind),
) -> Result<Summary> {
    let mut summary = Summary { transaction: mode != Mode::Alone, ..Summary::default() };
    // Of a script without marker, once it turned out to run outside a transaction.
    let mut first_alone = None;
    let mut shape = Shape::Empty;
    for statement in split(file, text, first_line) {
        let statement = statement?;
        see(statement.text(text), &statement.kind);
        let alone = !statement.kind.runs_in_transaction();
        if let Some(refused) = first_alone.take_if(|_| !alone) {
            return Err(refused);
        }
        if mode == Mode::Unmarked && alone && summary.transaction && shape == Shape::Empty {
            summary.transaction = false;
            first_alone = Some(cannot_run(file, &statement));
        }
        if summary.transaction {
            if alone {
                return Err(cannot_run(file, &statement));
            }
            shape = shape.after(file, &statement)?;
        }
        let control = matches!(statement.kind, Kind::TransactionControl(_));
        summary.statements += u64::from(!(summary.transaction && control));
        summary.alone += u64::from(alone);
        summary.copies += u64::from(statement.copy_data.is_some());
    }
    if let Shape::Begun(at) = shape {
        return Err(Error::Sql {
            at,
            message: "this transaction is not committed at the end of the script".to_owned(),
            hint: Some(REMOVE.to_owned()),
        });
    }
    summary.wrapped = shape == Shape::Committed;
    Ok(summary)
}

const REMOVE: &str = "the migration runs in a transaction of its own: remove the statement, \
                      or begin the script with `-- migrate:up transaction:false`";

fn cannot_run(file: &str, statement: &Statement) -> Error {
    Error::Sql {
        at: statement.location(file),
        message: format!("{} cannot run in a transaction", statement.tag()),
        hint: Some(
            "move it to a migration that begins with `-- migrate:up transaction:false`".to_owned(),
        ),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Empty,
    Plain,
    Begun(Location),
    Committed,
}

impl Shape {
    fn after(self, file: &str, statement: &Statement) -> Result<Shape> {
        let Kind::TransactionControl(control) = &statement.kind else {
            return match self {
                Shape::Empty => Ok(Shape::Plain),
                Shape::Committed => {
                    Err(refused(file, statement, "stands behind the COMMIT of the script"))
                }
                shape => Ok(shape),
            };
        };
        match (self, control) {
            (Shape::Empty, Control::Begin { plain: true }) => {
                Ok(Shape::Begun(statement.location(file)))
            }
            (Shape::Begun(_), Control::Commit) => Ok(Shape::Committed),
            (_, Control::Begin { plain: false }) => Err(refused(
                file,
                statement,
                "with a transaction mode cannot be honoured in a migration",
            )),
            _ => Err(refused(file, statement, "in a migration that runs in a transaction")),
        }
    }
}

fn refused(file: &str, statement: &Statement, why: &str) -> Error {
    Error::Sql {
        at: statement.location(file),
        message: format!("{} {why}", statement.tag()),
        hint: Some(REMOVE.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(text: &str, mode: Mode) -> String {
        match check("f.sql", text, 1, mode, |_, _| ()) {
            Ok(Summary { statements, wrapped, .. }) => format!("{statements} {wrapped}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_begin_and_commit_around_everything_is_left_out() {
        for (text, expected) in [
            ("", "0 false"),
            ("select 1; savepoint a; rollback to a; select 2", "4 false"),
            ("-- c\nBEGIN; select 1; COMMIT; -- d", "1 true"),
            ("begin work; select 1; end", "1 true"),
            ("start transaction; commit;", "0 true"),
        ] {
            assert_eq!(outcome(text, Mode::Transaction), expected, "{text}");
        }
    }

    #[test]
    fn other_transaction_control_is_refused_where_it_stands() {
        for (text, expected) in [
            ("select 1;\n cOmMiT", "f.sql:2:2: COMMIT in a migration that runs in a transaction"),
            (
                "select 1; begin; commit",
                "f.sql:1:11: BEGIN in a migration that runs in a transaction",
            ),
            ("begin; rollback;", "f.sql:1:8: ROLLBACK in a migration that runs in a transaction"),
            ("begin; begin; commit;", "f.sql:1:8: BEGIN in a migration that runs in a transaction"),
            (
                "begin; commit and chain;",
                "f.sql:1:8: COMMIT AND CHAIN in a migration that runs in a transaction",
            ),
            (
                "begin; prepare transaction 'x';",
                "f.sql:1:8: PREPARE TRANSACTION in a migration that runs in a transaction",
            ),
            (
                "begin; commit; begin; commit;",
                "f.sql:1:16: BEGIN in a migration that runs in a transaction",
            ),
            (
                "begin; commit; select 1",
                "f.sql:1:16: SELECT stands behind the COMMIT of the script",
            ),
            (
                "\nbegin; select 1",
                "f.sql:2:1: this transaction is not committed at the end of the script",
            ),
            (
                "begin isolation level serializable; commit",
                "f.sql:1:1: BEGIN with a transaction mode cannot be honoured in a migration",
            ),
        ] {
            assert_eq!(outcome(text, Mode::Transaction), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_run_in_a_transaction_needs_the_marker() {
        let text = "select 1;\ncreate index concurrently on t (a);";
        assert_eq!(
            outcome(text, Mode::Transaction),
            "f.sql:2:1: CREATE INDEX CONCURRENTLY cannot run in a transaction"
        );
        let summary = check("f.sql", text, 1, Mode::Alone, |_, _| ()).unwrap();
        assert_eq!(summary, Summary { statements: 2, alone: 1, ..Summary::default() });
        assert_eq!(outcome("begin; select 1; commit; vacuum", Mode::Alone), "4 false");
    }

    #[test]
    fn a_script_without_marker_runs_outside_a_transaction_if_nothing_of_it_can_run_in_one() {
        let concurrently = "create index concurrently on t (a);";
        for (text, expected) in [
            (format!("-- c\n{concurrently}\n{concurrently}"), Ok((2, false))),
            ("vacuum t".to_owned(), Ok((1, false))),
            ("select 1".to_owned(), Ok((1, true))),
            (String::new(), Ok((0, true))),
            (format!("{concurrently}select 1"), Err("f.sql:1:1")),
            (format!("{concurrently}begin"), Err("f.sql:1:1")),
            (format!("select 1;{concurrently}"), Err("f.sql:1:10")),
            (format!("begin;{concurrently}commit"), Err("f.sql:1:7")),
        ] {
            match (check("f.sql", &text, 1, Mode::Unmarked, |_, _| ()), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!((found.statements, found.transaction), expected, "{text}");
                }
                (Err(error), Err(at)) => assert_eq!(
                    error.to_string(),
                    format!("{at}: CREATE INDEX CONCURRENTLY cannot run in a transaction"),
                    "{text}"
                ),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}

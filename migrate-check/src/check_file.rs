//! A file of queries: read, cut into statements, and looked through before anything is sent.

use std::{fs, path::Path};

use migrate_core::{
    error::{Error, Result},
    sql::{
        kind::Kind,
        lexer::{Lexer, TokenKind},
        position::position_of,
        split::{Statement, split},
    },
};

/// What begins a statement that can answer.
const QUERIES: [&str; 6] = ["select", "with", "values", "table", "show", "explain"];

/// What no ROLLBACK takes back, and no READ ONLY forbids; a trailing `*` stands for more names.
const HARMFUL: &str = include_str!("harmful_functions.txt");

#[derive(Debug)]
pub(crate) struct CheckFile {
    /// As the user gave it.
    pub(crate) name: String,
    /// Without folder and ending: the name of the checks in it that have none of their own.
    pub(crate) stem: String,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) text: String,
    pub(crate) line: u32,
    pub(crate) kind: StepKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    Query,
    /// SET or RESET, for the queries behind it.
    Setting,
}

impl CheckFile {
    pub(crate) fn read(path: &Path) -> Result<CheckFile> {
        let name = path.display().to_string();
        let bytes =
            fs::read(path).map_err(|source| Error::ReadFile { path: path.to_owned(), source })?;
        let text = String::from_utf8(bytes).map_err(|err| {
            let at = err.utf8_error().valid_up_to();
            Error::usage(format!("{name} is not UTF-8 at byte {at}"), "save it as UTF-8 text")
        })?;
        let stem = path.file_stem().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
        CheckFile::parse(name, stem, text.strip_prefix('\u{feff}').unwrap_or(&text))
    }

    fn parse(name: String, stem: String, text: &str) -> Result<CheckFile> {
        let mut steps = Vec::new();
        for statement in split(&name, text, 1) {
            let statement = statement?;
            let kind = kind(&name, text, &statement)?;
            steps.push(Step { text: statement.text(text).to_owned(), line: statement.line, kind });
        }
        if !steps.iter().any(|it| it.kind == StepKind::Query) {
            return Err(Error::usage(
                format!("{name} holds no query, so it can say nothing"),
                "a check is a SELECT with a column `count` or `violation`",
            ));
        }
        Ok(CheckFile { name, stem, steps })
    }

    /// What the checks of a query are called that don't say it themselves.
    pub(crate) fn name_of(&self, step: &Step) -> String {
        let queries = self.steps.iter().filter(|it| it.kind == StepKind::Query).count();
        if queries == 1 { self.stem.clone() } else { format!("{}:{}", self.stem, step.line) }
    }
}

fn kind(file: &str, text: &str, statement: &Statement) -> Result<StepKind> {
    let refuse = |at: usize, message: String, hint: &str| {
        let (line, column) = position_of(text, at, 1);
        Error::Sql {
            at: migrate_core::error::Location { file: file.to_owned(), line, column },
            message,
            hint: Some(hint.to_owned()),
        }
    };
    let body = statement.text(text);
    if let Kind::Set { name, local, .. } = &statement.kind {
        let ours = ["transaction", "standard_conforming_strings"].contains(&name.as_str());
        return if *local || ours || name.starts_with("session ") {
            let hint = "each statement runs in a read-only transaction of its own";
            Err(refuse(statement.range.start, "this would change nothing here".to_owned(), hint))
        } else {
            Ok(StepKind::Setting)
        };
    }
    let mut lexer = Lexer::new(body);
    let first = lexer.next_significant().ok().flatten();
    let asks = first.is_some_and(|it| match it.kind {
        TokenKind::Open => true,
        TokenKind::Word => QUERIES.contains(&it.text(body).to_lowercase().as_str()),
        _ => false,
    });
    if !asks {
        return Err(refuse(
            statement.range.start,
            format!("{} is no query: a check only reads", statement.tag()),
            "nothing of the file was run; write SELECT, or SET for what the queries need",
        ));
    }
    match harmful_call(body) {
        None => Ok(StepKind::Query),
        Some((at, name)) => Err(refuse(
            statement.range.start + at,
            format!("`{name}` does what no ROLLBACK takes back"),
            "nothing of the file was run; leave the call out",
        )),
    }
}

/// The first call of a function that is on the list, and where.
fn harmful_call(sql: &str) -> Option<(usize, String)> {
    let mut lexer = Lexer::new(sql);
    let mut name: Option<(usize, String)> = None;
    while let Some(token) = lexer.next_significant().ok().flatten() {
        if token.kind == TokenKind::Open
            && let Some((at, name)) = name.take_if(|(_, name)| is_harmful(name))
        {
            return Some((at, name));
        }
        name = match token.kind {
            TokenKind::Word => Some((token.start, token.text(sql).to_lowercase())),
            // With its quotes off; one that is spelt in escapes is as good as on the list.
            TokenKind::QuotedName if token.text(sql).starts_with('"') => {
                Some((token.start, token.text(sql).trim_matches('"').replace("\"\"", "\"")))
            }
            TokenKind::QuotedName => Some((token.start, "U&".to_owned())),
            _ => None,
        };
    }
    None
}

fn is_harmful(name: &str) -> bool {
    name == "U&"
        || HARMFUL.lines().filter(|it| !it.starts_with('#')).any(|it| match it.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == it,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CheckFile> {
        CheckFile::parse("x.sql".to_owned(), "x".to_owned(), text)
    }

    #[test]
    fn queries_and_settings_are_taken() {
        let text = "set search_path = shop; select 1; (select 2) union (values (3));\n\
                    with a as (select 1) select * from a; table t; show work_mem; explain select 1";
        let file = parse(text).unwrap();
        assert_eq!(file.steps.len(), 7);
        assert_eq!(file.steps[0].kind, StepKind::Setting);
        assert_eq!(file.name_of(&file.steps[3]), "x:2");
        let one = parse("select 1").unwrap();
        assert_eq!(one.name_of(&one.steps[0]), "x");
    }

    #[test]
    fn what_could_write_is_refused_with_its_place() {
        for (text, said) in [
            ("select 1; COMMIT; delete from t", "x.sql:1:11: COMMIT is no query"),
            ("delete from t", "x.sql:1:1: DELETE is no query"),
            ("do $$ begin end $$", "x.sql:1:1: DO is no query"),
            ("copy t to program 'rm -rf x'", "x.sql:1:1: COPY is no query"),
            ("copy (select 1) to stdout", "x.sql:1:1: COPY is no query"),
            ("call p()", "x.sql:1:1: CALL is no query"),
            ("begin read write; select 1", "x.sql:1:1: BEGIN is no query"),
            ("set transaction read write; select 1", "x.sql:1:1: this would change nothing"),
            ("set session characteristics as transaction read write", "would change nothing"),
            ("prepare transaction 'x'", "is no query"),
            ("savepoint a", "SAVEPOINT is no query"),
            ("listen x", "is no query"),
            ("vacuum", "VACUUM is no query"),
            ("lock table t", "is no query"),
            ("select\n  pg_catalog.pg_terminate_backend (1)", "x.sql:2:14: `pg_terminate_backend`"),
            ("select \"pg_reload_conf\"()", "`pg_reload_conf` does what no ROLLBACK"),
            ("select U&\"\\0070g_reload_conf\"()", "`U&` does what no ROLLBACK"),
            ("select dblink_exec('', 'delete from t')", "`dblink_exec`"),
            ("-- nothing\n", "holds no query"),
            ("set work_mem = 1", "holds no query"),
        ] {
            let err = parse(text).unwrap_err();
            assert!(err.to_string().contains(said), "{text}: {err}");
            assert_eq!(err.exit(), migrate_core::exit::Exit::Usage, "{text}");
        }
    }

    #[test]
    fn names_on_the_list_that_are_not_called_do_no_harm() {
        parse("select 'pg_reload_conf()', pg_reload_conf from t -- pg_reload_conf()").unwrap();
    }
}

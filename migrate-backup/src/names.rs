//! Names of objects: in SQL, and as pg_dump's patterns.

use migrate_core::ledger::quote_identifier;

/// A name with its schema, to stand in SQL.
pub(crate) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

/// The same for pg_dump's switches: between quotes nothing is special but the quote.
pub(crate) fn pattern(schema: &str, name: &str) -> String {
    qualified(schema, name)
}

/// As a person writes it.
pub(crate) fn shown(schema: &str, name: &str) -> String {
    format!("{schema}.{name}")
}

/// A database for a program's `--dbname`: a name that looks like a connection string must not be
/// taken for one.
pub(crate) fn dbname(name: &str) -> String {
    format!("dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(qualified("a\"b", "C d"), "\"a\"\"b\".\"C d\"");
        assert_eq!(dbname("host=x '\\"), "dbname='host=x \\'\\\\'");
    }
}

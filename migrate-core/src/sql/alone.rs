//! Statements that the server refuses inside a transaction block, with the names to look up afterwards.

use super::{
    lexer::TokenKind,
    words::{Name, Words},
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Alone {
    /// The index stands in the schema of its table; without a name the server makes one up.
    CreateIndexConcurrently {
        index: Option<String>,
        table: Name,
        unique: bool,
        if_not_exists: bool,
    },
    DropIndexConcurrently {
        indexes: Vec<Name>,
        if_exists: bool,
    },
    Reindex {
        target: ReindexTarget,
        concurrently: bool,
    },
    DetachPartitionConcurrently {
        table: Name,
        partition: Name,
    },
    Vacuum,
    /// Every table that was clustered before.
    ClusterAll,
    CreateDatabase {
        name: Name,
    },
    DropDatabase {
        name: Name,
    },
    AlterDatabaseTablespace {
        name: Name,
    },
    CreateTablespace {
        name: Name,
    },
    DropTablespace {
        name: Name,
    },
    AlterSystem,
    /// It makes a replication slot on the publisher.
    CreateSubscription {
        name: Name,
    },
    /// It asks the publisher for its tables.
    RefreshSubscription {
        name: Name,
    },
    DiscardAll,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReindexTarget {
    Index(Name),
    Table(Name),
    Schema(Name),
    /// Without a name it is the current one.
    Database(Option<Name>),
    System(Option<Name>),
}

impl Alone {
    pub fn tag(&self) -> &'static str {
        match self {
            Alone::CreateIndexConcurrently { .. } => "CREATE INDEX CONCURRENTLY",
            Alone::DropIndexConcurrently { .. } => "DROP INDEX CONCURRENTLY",
            Alone::Reindex { concurrently: true, .. } => "REINDEX CONCURRENTLY",
            Alone::Reindex { target: ReindexTarget::Schema(_), .. } => "REINDEX SCHEMA",
            Alone::Reindex { target: ReindexTarget::Database(_), .. } => "REINDEX DATABASE",
            Alone::Reindex { target: ReindexTarget::System(_), .. } => "REINDEX SYSTEM",
            Alone::Reindex { .. } => "REINDEX",
            Alone::DetachPartitionConcurrently { .. } => {
                "ALTER TABLE DETACH PARTITION CONCURRENTLY"
            }
            Alone::Vacuum => "VACUUM",
            Alone::ClusterAll => "CLUSTER",
            Alone::CreateDatabase { .. } => "CREATE DATABASE",
            Alone::DropDatabase { .. } => "DROP DATABASE",
            Alone::AlterDatabaseTablespace { .. } => "ALTER DATABASE SET TABLESPACE",
            Alone::CreateTablespace { .. } => "CREATE TABLESPACE",
            Alone::DropTablespace { .. } => "DROP TABLESPACE",
            Alone::AlterSystem => "ALTER SYSTEM",
            Alone::CreateSubscription { .. } => "CREATE SUBSCRIPTION",
            Alone::RefreshSubscription { .. } => "ALTER SUBSCRIPTION",
            Alone::DiscardAll => "DISCARD ALL",
        }
    }
}

/// `words` stands at the start of the statement; what doesn't parse is left to the server's error.
pub(super) fn alone(mut words: Words<'_>) -> Option<Alone> {
    let first = words.word()?;
    match first.to_ascii_lowercase().as_str() {
        "create" => create(words),
        "drop" => drop_object(words),
        "alter" => alter(words),
        "reindex" => reindex(words),
        "vacuum" => Some(Alone::Vacuum),
        "cluster" => cluster(words),
        "discard" => words.accept("all").then_some(Alone::DiscardAll),
        _ => None,
    }
}

fn create(mut words: Words<'_>) -> Option<Alone> {
    if words.accept("database") {
        return Some(Alone::CreateDatabase { name: words.name()? });
    }
    if words.accept("tablespace") {
        return Some(Alone::CreateTablespace { name: words.name()? });
    }
    if words.accept("subscription") {
        let name = words.name()?;
        return makes_slot(words).then_some(Alone::CreateSubscription { name });
    }
    let unique = words.accept("unique");
    if !words.accept_all(&["index", "concurrently"]) {
        return None;
    }
    let if_not_exists = words.accept_all(&["if", "not", "exists"]);
    let index = if words.accept("on") {
        None
    } else {
        let name = words.name()?.name;
        words.accept("on").then_some(Some(name))?
    };
    words.accept("only");
    Some(Alone::CreateIndexConcurrently { index, table: words.name()?, unique, if_not_exists })
}

fn drop_object(mut words: Words<'_>) -> Option<Alone> {
    if words.accept_all(&["index", "concurrently"]) {
        let if_exists = words.accept_all(&["if", "exists"]);
        return Some(Alone::DropIndexConcurrently { indexes: words.names(), if_exists });
    }
    if words.accept("database") {
        words.accept_all(&["if", "exists"]);
        return Some(Alone::DropDatabase { name: words.name()? });
    }
    if words.accept("tablespace") {
        words.accept_all(&["if", "exists"]);
        return Some(Alone::DropTablespace { name: words.name()? });
    }
    None
}

fn alter(mut words: Words<'_>) -> Option<Alone> {
    if words.accept("system") {
        return Some(Alone::AlterSystem);
    }
    if words.accept("database") {
        let name = words.name()?;
        let moves = words.accept_all(&["set", "tablespace"]);
        return moves.then_some(Alone::AlterDatabaseTablespace { name });
    }
    if words.accept("subscription") {
        let name = words.name()?;
        return refreshes(words).then_some(Alone::RefreshSubscription { name });
    }
    if !words.accept("table") {
        return None;
    }
    words.accept_all(&["if", "exists"]);
    words.accept("only");
    let table = words.name()?;
    if !words.accept_all(&["detach", "partition"]) {
        return None;
    }
    let partition = words.name()?;
    // FINALIZE may run in a transaction block.
    words.accept("concurrently").then_some(Alone::DetachPartitionConcurrently { table, partition })
}

fn reindex(mut words: Words<'_>) -> Option<Alone> {
    let options = words.options();
    let kind = words.word()?.to_ascii_lowercase();
    let concurrently = words.accept("concurrently") || is_on(&options, "concurrently", false);
    let target = match kind.as_str() {
        "index" => ReindexTarget::Index(words.name()?),
        "table" => ReindexTarget::Table(words.name()?),
        "schema" => ReindexTarget::Schema(words.name()?),
        "database" => ReindexTarget::Database(words.name()),
        "system" => ReindexTarget::System(words.name()),
        _ => return None,
    };
    let one = matches!(target, ReindexTarget::Index(_) | ReindexTarget::Table(_));
    (concurrently || !one).then_some(Alone::Reindex { target, concurrently })
}

fn cluster(mut words: Words<'_>) -> Option<Alone> {
    words.skip_parentheses();
    words.accept("verbose");
    words.peek().is_none().then_some(Alone::ClusterAll)
}

/// `create_slot` follows `connect` where it isn't given.
fn makes_slot(words: Words<'_>) -> bool {
    let options = with_options(words);
    is_on(&options, "connect", true) && is_on(&options, "create_slot", true)
}

fn refreshes(mut words: Words<'_>) -> bool {
    if words.accept_all(&["refresh", "publication"]) {
        return true;
    }
    let changes = words.accept_any(&["set", "add", "drop"]) && words.accept("publication");
    changes && is_on(&with_options(words), "refresh", true)
}

/// The options of the first `WITH (…)` in the rest of the statement.
fn with_options(mut words: Words<'_>) -> Vec<(String, String)> {
    loop {
        if words.accept("with") && words.peek().is_some_and(|t| t.kind == TokenKind::Open) {
            return words.options();
        }
        if words.next().is_none() {
            return Vec::new();
        }
    }
}

/// An option without a value is on.
fn is_on(options: &[(String, String)], name: &str, default: bool) -> bool {
    match options.iter().rfind(|(option, _)| option == name) {
        Some((_, value)) => !matches!(value.as_str(), "false" | "off" | "no" | "0"),
        None => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Option<Alone> {
        alone(Words::new(sql, true))
    }

    fn name(text: &str) -> Name {
        Words::new(text, true).name().unwrap()
    }

    #[test]
    fn concurrent_indexes_are_read_with_their_names() {
        let index = |index: Option<&str>, table, unique, if_not_exists| {
            let index = index.map(str::to_owned);
            Some(Alone::CreateIndexConcurrently {
                index,
                table: name(table),
                unique,
                if_not_exists,
            })
        };
        for (sql, expected) in [
            ("Create Index Concurrently on t (a)", index(None, "t", false, false)),
            (
                "create unique index /*;*/ concurrently if not exists \"I\" on only s.T using btree (a)",
                index(Some("I"), "s.t", true, true),
            ),
            ("create index concurrently_x on t (a)", None),
            ("create index i on t (concurrently)", None),
        ] {
            assert_eq!(read(sql), expected, "{sql}");
        }
        assert_eq!(
            read("drop index concurrently if exists a, S.b cascade"),
            Some(Alone::DropIndexConcurrently {
                indexes: vec![name("a"), name("s.b")],
                if_exists: true
            })
        );
    }

    #[test]
    fn reindex_is_alone_when_concurrent_or_of_many() {
        let reindex = |target, concurrently| Some(Alone::Reindex { target, concurrently });
        for (sql, expected) in [
            ("reindex index i", None),
            ("reindex (verbose) table t", None),
            ("reindex (concurrently off) table t", None),
            ("reindex table concurrently s.t", reindex(ReindexTarget::Table(name("s.t")), true)),
            (
                "REINDEX (CONCURRENTLY, VERBOSE) INDEX x",
                reindex(ReindexTarget::Index(name("x")), true),
            ),
            ("reindex schema s", reindex(ReindexTarget::Schema(name("s")), false)),
            ("reindex database", reindex(ReindexTarget::Database(None), false)),
            (
                "reindex system concurrently d",
                reindex(ReindexTarget::System(Some(name("d"))), true),
            ),
        ] {
            assert_eq!(read(sql), expected, "{sql}");
        }
    }

    #[test]
    fn the_others_are_told_apart_from_their_harmless_relatives() {
        for (sql, expected) in [
            ("vacuum (analyze) t", Some("VACUUM")),
            ("cluster", Some("CLUSTER")),
            ("cluster (verbose)", Some("CLUSTER")),
            ("cluster verbose t using i", None),
            ("create database d", Some("CREATE DATABASE")),
            ("drop database if exists d", Some("DROP DATABASE")),
            ("alter database d set tablespace t", Some("ALTER DATABASE SET TABLESPACE")),
            ("alter database d set work_mem = 1", None),
            ("create tablespace t location '/x'", Some("CREATE TABLESPACE")),
            ("drop tablespace t", Some("DROP TABLESPACE")),
            ("alter system set work_mem = 1", Some("ALTER SYSTEM")),
            ("alter table t detach partition p", None),
            ("alter table t detach partition p finalize", None),
            (
                "alter table if exists only t detach partition s.p concurrently",
                Some("ALTER TABLE DETACH PARTITION CONCURRENTLY"),
            ),
            ("create subscription s connection 'x' publication p", Some("CREATE SUBSCRIPTION")),
            ("create subscription s connection 'x' publication p with (create_slot = false)", None),
            ("create subscription s connection 'x' publication p with (connect=off)", None),
            ("alter subscription s refresh publication", Some("ALTER SUBSCRIPTION")),
            ("alter subscription s set publication p with (refresh = false)", None),
            ("alter subscription s set (slot_name = none)", None),
            ("discard all", Some("DISCARD ALL")),
            ("discard plans", None),
        ] {
            assert_eq!(read(sql).map(|alone| alone.tag()), expected, "{sql}");
        }
    }
}

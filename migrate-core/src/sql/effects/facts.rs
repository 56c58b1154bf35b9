//! The table of facts: for each class its lock, its work, what it leaves and what to do instead.

use super::{Class, LockMode, LockMode::*};

/// What a class does to its relation, measured on servers by `tests/e2e/statement_locks.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// For findings, and for whoever silences one.
    pub code: &'static str,
    /// None where it is in nobody's way.
    pub lock: Option<LockMode>,
    pub work: Work,
    /// Rows are lost, and no way back brings them.
    pub destroys: bool,
    pub leaves: Leaves,
    /// A way that is in nobody's way.
    pub instead: Option<&'static str>,
}

/// How long it holds its lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// For a change of the catalog.
    Brief,
    /// As long as it takes to read all rows.
    Scan,
    /// The same, unless what is said holds.
    ScanUnless(&'static str),
    /// As long as it takes to write all rows anew.
    Rewrite,
    RewriteUnless(&'static str),
    /// It changes rows that are there already.
    Rows,
}

/// What an interruption leaves behind, from harmless to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Leaves {
    /// It is undone with its transaction.
    Nothing,
    /// Some of the relations are done, and the others are as before.
    SomeDone,
    /// A partition that is neither in nor out.
    PendingDetach,
    /// An index that costs each write and serves no read.
    InvalidIndex,
}

const fn nothing(code: &'static str) -> Facts {
    Facts {
        code,
        lock: None,
        work: Work::Brief,
        destroys: false,
        leaves: Leaves::Nothing,
        instead: None,
    }
}

const fn takes(code: &'static str, lock: LockMode, work: Work) -> Facts {
    Facts { lock: Some(lock), work, ..nothing(code) }
}

const fn brief(code: &'static str, lock: LockMode) -> Facts {
    takes(code, lock, Work::Brief)
}

impl Facts {
    const fn destroys(self) -> Facts {
        Facts { destroys: true, ..self }
    }

    const fn leaves(self, leaves: Leaves) -> Facts {
        Facts { leaves, ..self }
    }

    const fn instead(self, way: &'static str) -> Facts {
        Facts { instead: Some(way), ..self }
    }
}

const BACKFILL: &str = "add the column empty, set its default, and fill the rows in batches";
const VALIDATE: &str = "add it NOT VALID, and VALIDATE it in a migration of its own";
const USING_INDEX: &str =
    "build the unique index CONCURRENTLY first, and add the constraint USING INDEX";
const NEW_COLUMN: &str = "add a column of the new type, fill it in batches, and change over";

impl Class {
    #[rustfmt::skip]
    pub fn facts(self) -> Facts {
        use Work::*;
        match self {
            Class::AddColumn => brief("add-column", AccessExclusive),
            Class::AddColumnVolatileDefault => takes("add-column-volatile-default", AccessExclusive, Rewrite)
                .instead(BACKFILL),
            Class::AddColumnFunctionDefault => takes("add-column-volatile-default", AccessExclusive, RewriteUnless("the default's function is not volatile"))
                .instead(BACKFILL),
            Class::AddColumnSerial => takes("add-column-serial-identity", AccessExclusive, Rewrite)
                .instead(BACKFILL),
            Class::AddColumnGenerated => takes("add-column-generated-stored", AccessExclusive, Rewrite)
                .instead("add a plain column that a trigger keeps, and fill it in batches"),
            Class::AddColumnNotNull => takes("add-column-not-null-no-default", AccessExclusive, Scan)
                .instead("give it a default, or add it without NOT NULL and fill it first"),
            Class::AddColumnCheck => takes("add-column-with-check", AccessExclusive, Scan)
                .instead("add the column first, then the constraint NOT VALID, and VALIDATE it later"),
            Class::AddColumnUnique => takes("add-column-unique", AccessExclusive, Scan)
                .instead("add the column first, build the unique index CONCURRENTLY, and add the constraint USING INDEX"),
            Class::DropColumn => brief("drop-column", AccessExclusive).destroys(),
            Class::Rename => brief("rename", AccessExclusive),
            Class::ChangeDefault => brief("change-default", AccessExclusive),
            Class::SetNotNull => takes("set-not-null", AccessExclusive, ScanUnless("a valid CHECK (… IS NOT NULL) is there"))
                .instead("add CHECK (… IS NOT NULL) NOT VALID and VALIDATE it in an earlier migration: then nothing is read"),
            Class::DropNotNull => brief("drop-not-null", AccessExclusive),
            Class::ChangeType => takes("change-type-rewrite", AccessExclusive, RewriteUnless("the new type stores the old values as they are"))
                .instead(NEW_COLUMN),
            Class::ChangeExpression => takes("change-expression", AccessExclusive, RewriteUnless("the column is virtual"))
                .instead(NEW_COLUMN),
            Class::ChangeIdentity => brief("change-identity", AccessExclusive),
            Class::SetStatistics => brief("set-statistics", ShareUpdateExclusive),
            Class::SetStorage => brief("set-storage", AccessExclusive),

            Class::AddCheck => takes("add-check-valid", AccessExclusive, Scan).instead(VALIDATE),
            Class::AddForeignKey => takes("add-fk-valid", ShareRowExclusive, Scan).instead(VALIDATE),
            Class::AddForeignKeyNotValid => brief("add-fk", ShareRowExclusive),
            Class::Referenced => brief("referenced", ShareRowExclusive),
            Class::AddUnique => takes("add-unique-constraint", AccessExclusive, Scan).instead(USING_INDEX),
            Class::AddPrimaryKey => takes("add-primary-key", AccessExclusive, Scan).instead(USING_INDEX),
            Class::AddPrimaryKeyUsingIndex => takes("add-primary-key", AccessExclusive, ScanUnless("its columns are NOT NULL already"))
                .instead("set its columns NOT NULL first"),
            Class::AddExclusion => takes("add-exclusion", AccessExclusive, Scan)
                .instead("choose a quiet time: there is no way to build it concurrently"),
            Class::AddConstraintUnchecked => brief("add-constraint", AccessExclusive),
            Class::AlterConstraint => brief("alter-constraint", AccessExclusive),
            Class::ValidateConstraint => takes("validate-constraint", ShareUpdateExclusive, Scan),
            Class::DropConstraint => brief("drop-constraint", AccessExclusive),
            Class::Unreferenced => brief("drop-constraint", AccessExclusive),
            Class::DropDependent => brief("drop-cascade", AccessExclusive),

            Class::CreateTable => nothing("create-table"),
            Class::CreatePartition => brief("create-partition", AccessExclusive)
                .instead("create a plain table, and ATTACH it as a partition"),
            Class::CreateChild => brief("create-child", ShareUpdateExclusive),
            Class::LosePartition => brief("drop-table", AccessExclusive),
            Class::DropTable => brief("drop-table", AccessExclusive).destroys(),
            Class::DropView => brief("drop-view", AccessExclusive),
            Class::DropWithData => brief("drop-cascade", AccessExclusive).destroys(),
            Class::Truncate => brief("truncate", AccessExclusive).destroys(),
            Class::SetOptions => brief("set-options", ShareUpdateExclusive),
            Class::MoveTable => takes("set-logged", AccessExclusive, RewriteUnless("it is so already")),
            Class::ReplicaIdentity => brief("replica-identity", AccessExclusive),
            Class::ChangeTable => brief("change-table", AccessExclusive),
            Class::SwitchTrigger => brief("disable-trigger", ShareRowExclusive),
            Class::Inherit => brief("inherit", AccessExclusive),
            Class::InheritFrom => brief("inherit", ShareUpdateExclusive),
            Class::AttachPartition => brief("attach-partition", ShareUpdateExclusive),
            Class::AttachedPartition => takes("attach-partition", AccessExclusive, ScanUnless("a CHECK of its own proves where its rows belong"))
                .instead("give the table a CHECK that says the same as the partition's bounds, and drop it afterwards"),
            Class::DefaultPartition => takes("attach-partition-default", AccessExclusive, ScanUnless("a CHECK of its own proves that none of its rows moves"))
                .instead("give the default partition a CHECK that leaves the new bounds out"),
            Class::DetachPartition => brief("detach-partition", AccessExclusive)
                .instead("DETACH it CONCURRENTLY"),
            Class::DetachPartitionConcurrently => brief("detach-partition", ShareUpdateExclusive)
                .leaves(Leaves::PendingDetach),
            Class::DetachedPartition => brief("detach-partition", AccessExclusive),
            Class::DefaultPartitionSpared => brief("detach-partition", AccessExclusive),
            Class::RearrangePartitions => takes("rearrange-partitions", AccessExclusive, Rewrite),
            Class::CreateTrigger => brief("create-trigger", ShareRowExclusive),
            Class::ChangeBehaviour => brief("change-behaviour", AccessExclusive),
            Class::ReplaceView => brief("replace-view", AccessExclusive),
            Class::AlterView => brief("alter-view", AccessExclusive),
            Class::Describe => brief("comment", ShareUpdateExclusive),
            Class::Publish => brief("publication", ShareUpdateExclusive),
            Class::Lock(mode) => brief("lock-table", mode),

            Class::CreateIndex => takes("create-index-not-concurrent", Share, Scan)
                .instead("CREATE INDEX CONCURRENTLY, outside a transaction"),
            Class::CreateIndexConcurrently => takes("create-index", ShareUpdateExclusive, Scan)
                .leaves(Leaves::InvalidIndex),
            Class::DropIndex => brief("drop-index-not-concurrent", AccessExclusive)
                .instead("DROP INDEX CONCURRENTLY, outside a transaction"),
            Class::DropIndexConcurrently => brief("drop-index", ShareUpdateExclusive)
                .leaves(Leaves::InvalidIndex),
            Class::AlterIndex => nothing("alter-index"),
            Class::Reindex => takes("reindex", Share, Scan)
                .instead("REINDEX CONCURRENTLY, outside a transaction"),
            Class::ReindexConcurrently => takes("reindex", ShareUpdateExclusive, Scan)
                .leaves(Leaves::InvalidIndex),
            Class::ReindexMany => takes("reindex", Share, Scan)
                .leaves(Leaves::SomeDone)
                .instead("REINDEX CONCURRENTLY"),
            Class::Analyze => brief("analyze", ShareUpdateExclusive),
            Class::Vacuum => takes("vacuum", ShareUpdateExclusive, Scan).leaves(Leaves::SomeDone),
            Class::Compact => takes("vacuum-full-cluster", AccessExclusive, Rewrite)
                .leaves(Leaves::SomeDone)
                .instead("pg_repack does it while the table is in use"),
            Class::Refresh => takes("refresh-matview", AccessExclusive, Rewrite)
                .instead("REFRESH it CONCURRENTLY: that needs a unique index on it"),
            Class::RefreshConcurrently => takes("refresh-matview", Exclusive, Rows),
            Class::CreateStatistics => brief("create-statistics", ShareUpdateExclusive),
            Class::CheckDomain => takes("domain-with-constraint", Share, Scan)
                .instead("put the constraint on the tables, NOT VALID, and VALIDATE it later"),

            Class::Insert => brief("insert", RowExclusive),
            Class::ChangeRows => takes("change-rows", RowExclusive, Rows),

            Class::NoTable => nothing("no-table"),
            Class::Code => nothing("code"),
            Class::Unknown => nothing("unknown"),
        }
    }
}

//! The classes of what statements do to relations.

/// One row each in the table of facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    // Columns
    AddColumn,
    AddColumnVolatileDefault,
    /// By a function that we don't know.
    AddColumnFunctionDefault,
    AddColumnSerial,
    AddColumnGenerated,
    AddColumnNotNull,
    AddColumnCheck,
    AddColumnUnique,
    DropColumn,
    Rename,
    ChangeDefault,
    SetNotNull,
    DropNotNull,
    ChangeType,
    ChangeExpression,
    ChangeIdentity,
    SetStatistics,
    SetStorage,

    // Constraints
    AddCheck,
    AddForeignKey,
    AddForeignKeyNotValid,
    /// The other end of a new foreign key.
    Referenced,
    AddUnique,
    AddPrimaryKey,
    AddPrimaryKeyUsingIndex,
    AddExclusion,
    /// NOT VALID, USING INDEX: only the catalog changes.
    AddConstraintUnchecked,
    AlterConstraint,
    ValidateConstraint,
    DropConstraint,
    /// The other end of a foreign key that goes.
    Unreferenced,
    /// What CASCADE takes along.
    DropDependent,

    // Tables
    CreateTable,
    CreatePartition,
    CreateChild,
    DropTable,
    /// The table that a dropped one was a partition of.
    LosePartition,
    DropView,
    /// Of a schema, a type, an extension with CASCADE, a database.
    DropWithData,
    Truncate,
    SetOptions,
    MoveTable,
    ReplicaIdentity,
    ChangeTable,
    SwitchTrigger,
    Inherit,
    InheritFrom,
    AttachPartition,
    AttachedPartition,
    DetachPartition,
    DetachPartitionConcurrently,
    DetachedPartition,
    DefaultPartition,
    DefaultPartitionSpared,
    RearrangePartitions,
    CreateTrigger,
    ChangeBehaviour,
    ReplaceView,
    AlterView,
    Describe,
    Publish,
    Lock(super::LockMode),

    // Indexes and upkeep
    CreateIndex,
    CreateIndexConcurrently,
    DropIndex,
    DropIndexConcurrently,
    AlterIndex,
    Reindex,
    ReindexConcurrently,
    ReindexMany,
    Analyze,
    Vacuum,
    /// CLUSTER, VACUUM FULL.
    Compact,
    Refresh,
    RefreshConcurrently,
    CreateStatistics,
    CheckDomain,

    // Rows
    Insert,
    ChangeRows,

    // No table, or no telling
    NoTable,
    /// DO, CALL, EXECUTE.
    Code,
    /// It could not be read.
    Unknown,
}

//! The classes of the actions of an ALTER TABLE.

use squawk_syntax::ast::{
    AddColumn, AddConstraint, AlterColumnOption, AlterTableAction, AstNode, CallExpr, Constraint,
    ConstraintOption, DetachPartitionOption, GeneratedAs, GeneratedKind, SetOptions,
};

use super::{
    Class,
    statement::{Found, name_of},
};
use crate::sql::words::Name;

/// Functions that the server finds volatile, so that each row gets a value of its own.
const VOLATILE: [&str; 12] = [
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "nextval",
    "random",
    "setseed",
    "timeofday",
    "uuid_generate_v1",
    "uuid_generate_v4",
    "uuidv4",
    "uuidv7",
];

/// Functions that give all rows one value; others may do either.
const STEADY: [&str; 28] = [
    "array_fill",
    "coalesce",
    "concat",
    "current_database",
    "current_schema",
    "current_setting",
    "date_trunc",
    "decode",
    "greatest",
    "json_build_array",
    "json_build_object",
    "jsonb_build_array",
    "jsonb_build_object",
    "least",
    "lower",
    "make_date",
    "make_interval",
    "make_timestamptz",
    "md5",
    "now",
    "nullif",
    "statement_timestamp",
    "timezone",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_timestamp",
    "transaction_timestamp",
];

pub(super) fn action(action: &AlterTableAction, table: &Name, found: &mut Found) {
    use AlterTableAction as A;
    let class = match action {
        A::AddColumn(it) => return add_column(it, table, found),
        A::AddConstraint(it) => return add_constraint(it, table, found),
        A::AlterColumn(it) => match it.option() {
            Some(option) => alter_column(&option),
            None => Class::Unknown,
        },
        A::AttachPartition(it) => {
            found.named(Class::AttachPartition, table);
            found.node(Class::AttachedPartition, it.table_name_ref());
            return found.default_partition_of(Class::DefaultPartition, table);
        }
        A::DetachPartition(it) => {
            let partition = it.table_name_ref().and_then(|it| name_of(it.syntax()));
            if let Some(partition) = partition {
                found.named(Class::DetachedPartition, &partition);
                found.referenced_by(Class::Referenced, &partition);
            }
            match it.detach_partition_option() {
                None => {
                    found.default_partition_of(Class::DefaultPartitionSpared, table);
                    Class::DetachPartition
                }
                Some(DetachPartitionOption::DetachConcurrently(_)) => {
                    Class::DetachPartitionConcurrently
                }
                Some(DetachPartitionOption::DetachFinalize(_)) => Class::InheritFrom,
            }
        }
        A::DropColumn(it) => {
            found.loses_references(table, it.drop_behavior());
            Class::DropColumn
        }
        A::DropConstraint(it) => {
            found.loses_references(table, it.drop_behavior());
            Class::DropConstraint
        }
        A::InheritTable(it) => {
            found.node(Class::InheritFrom, it.table_name_ref());
            Class::Inherit
        }
        A::AlterConstraint(_) => Class::AlterConstraint,
        A::ValidateConstraint(_) => Class::ValidateConstraint,
        A::RenameColumn(_) | A::RenameConstraint(_) | A::TableRenameTo(_) | A::SetSchema(_) => {
            Class::Rename
        }
        A::SetOptions(it) => set_options(it),
        A::ClusterOn(_) | A::SetWithoutCluster(_) | A::ResetOptions(_) => Class::SetOptions,
        A::SetLogged(_) | A::SetUnlogged(_) | A::SetTablespace(_) | A::SetAccessMethod(_) => {
            Class::MoveTable
        }
        A::ReplicaIdentity(_) => Class::ReplicaIdentity,
        A::DisableTrigger(_)
        | A::EnableTrigger(_)
        | A::EnableAlwaysTrigger(_)
        | A::EnableReplicaTrigger(_) => Class::SwitchTrigger,
        A::MergePartitions(_) | A::SplitPartition(_) => Class::RearrangePartitions,
        A::EnableRls(_)
        | A::DisableRls(_)
        | A::ForceRls(_)
        | A::NoForceRls(_)
        | A::EnableRule(_)
        | A::DisableRule(_)
        | A::EnableAlwaysRule(_)
        | A::EnableReplicaRule(_)
        | A::NoInheritTable(_)
        | A::OfType(_)
        | A::NotOf(_)
        | A::OwnerTo(_)
        | A::AlterOptionList(_)
        | A::OptionItemList(_)
        | A::SetWithoutOids(_) => Class::ChangeTable,
    };
    found.named(class, table);
}

fn alter_column(option: &AlterColumnOption) -> Class {
    use AlterColumnOption as O;
    match option {
        O::SetNotNull(_) => Class::SetNotNull,
        O::DropNotNull(_) => Class::DropNotNull,
        O::SetDefault(_) | O::DropDefault(_) => Class::ChangeDefault,
        O::SetType(_) => Class::ChangeType,
        O::SetExpression(_) => Class::ChangeExpression,
        O::SetStatistics(_) | O::SetOptions(_) | O::ResetOptions(_) => Class::SetStatistics,
        O::SetStorage(_) | O::SetCompression(_) | O::SetOptionsList(_) => Class::SetStorage,
        O::AddGenerated(_)
        | O::DropExpression(_)
        | O::DropIdentity(_)
        | O::Restart(_)
        | O::SetGenerated(_)
        | O::SetGeneratedOptions(_)
        | O::SetSequenceOption(_) => Class::ChangeIdentity,
        O::Inherit(_) | O::NoInherit(_) => Class::AlterConstraint,
    }
}

/// All storage parameters of a table are lenient but this one.
fn set_options(options: &SetOptions) -> Class {
    let strict = options.syntax().text().to_string().to_ascii_lowercase();
    if strict.contains("user_catalog_table") { Class::ChangeTable } else { Class::SetOptions }
}

fn add_column(column: &AddColumn, table: &Name, found: &mut Found) {
    let constraints: Vec<Constraint> = column.constraints().collect();
    let mut fills = column.ty().is_some_and(|it| is_serial(&it.syntax().text().to_string()));
    let mut base = if fills { Class::AddColumnSerial } else { Class::AddColumn };
    let mut not_null = false;
    for constraint in &constraints {
        match constraint {
            Constraint::DefaultConstraint(it) => {
                fills = true;
                base = it.expr().map_or(Class::AddColumn, |expr| by_default(expr.syntax()));
            }
            Constraint::GeneratedConstraint(it) => match it.generated_as() {
                Some(GeneratedAs::GeneratedIdentity(_)) => {
                    fills = true;
                    base = Class::AddColumnSerial;
                }
                Some(GeneratedAs::GeneratedStored(it)) => {
                    fills = true;
                    if matches!(it.generated_kind(), Some(GeneratedKind::Stored(_))) {
                        base = Class::AddColumnGenerated;
                    }
                }
                None => {}
            },
            Constraint::NotNullConstraint(_) => not_null = true,
            Constraint::CheckConstraint(_) => found.named(Class::AddColumnCheck, table),
            Constraint::UniqueConstraint(_) | Constraint::PrimaryKeyConstraint(_) => {
                found.named(Class::AddColumnUnique, table);
            }
            Constraint::ReferencesConstraint(it) => {
                found.node(Class::Referenced, it.table());
            }
            _ => {}
        }
    }
    let refers = constraints.iter().any(|it| matches!(it, Constraint::ReferencesConstraint(_)));
    // Where all rows get NULL there is nothing to look up.
    if refers && fills {
        found.named(Class::AddForeignKey, table);
    }
    if not_null && !fills {
        found.named(Class::AddColumnNotNull, table);
    }
    found.named(base, table);
}

fn is_serial(written: &str) -> bool {
    let names = ["serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"];
    names.iter().any(|it| written.trim().eq_ignore_ascii_case(it))
}

fn by_default(expr: &squawk_syntax::SyntaxNode) -> Class {
    let mut class = Class::AddColumn;
    for call in expr.descendants().filter_map(CallExpr::cast) {
        // What has a syntax of its own, such as EXTRACT, is steady.
        let Some(function) = call.expr().and_then(|it| name_of(it.syntax())) else { continue };
        if VOLATILE.contains(&function.name.as_str()) {
            return Class::AddColumnVolatileDefault;
        }
        if !STEADY.contains(&function.name.as_str()) {
            class = Class::AddColumnFunctionDefault;
        }
    }
    class
}

fn add_constraint(added: &AddConstraint, table: &Name, found: &mut Found) {
    let class = match added.constraint() {
        Some(Constraint::ForeignKeyConstraint(it)) => {
            found.node(Class::Referenced, it.table_name_ref());
            if is_unchecked(it.constraint_options()) {
                Class::AddForeignKeyNotValid
            } else {
                Class::AddForeignKey
            }
        }
        Some(Constraint::UniqueConstraint(it)) if it.using_index().is_none() => Class::AddUnique,
        Some(Constraint::PrimaryKeyConstraint(it)) => match it.using_index() {
            Some(_) => Class::AddPrimaryKeyUsingIndex,
            None => Class::AddPrimaryKey,
        },
        Some(Constraint::ExcludeConstraint(_)) => Class::AddExclusion,
        Some(Constraint::CheckConstraint(it)) if !is_unchecked(it.constraint_options()) => {
            Class::AddCheck
        }
        Some(Constraint::NotNullConstraint(it)) if !is_unchecked(it.constraint_options()) => {
            Class::SetNotNull
        }
        Some(_) => Class::AddConstraintUnchecked,
        None => Class::Unknown,
    };
    found.named(class, table);
}

pub(super) fn is_unchecked(mut options: impl Iterator<Item = ConstraintOption>) -> bool {
    options.any(|it| matches!(it, ConstraintOption::NotValid(_) | ConstraintOption::NotEnforced(_)))
}

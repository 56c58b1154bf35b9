//! The classes of statements about one sort of object each, by their syntax trees.

use squawk_syntax::{
    SyntaxKind,
    ast::{
        self, AlterDomainAction, AlterTableAction, AstNode, ColumnClause, ColumnConstraint,
        DropBehavior, ReindexTarget, Stmt, TableArg, TableConstraint,
    },
};

use super::{
    Class, LockMode, Relation, alter_table,
    statement::{Found, all_tables, first_table, has_token, name_of},
};
use crate::sql::words::Words;

pub(super) fn alter(
    table: Option<ast::TableNameRef>,
    actions: impl Iterator<Item = AlterTableAction>,
    found: &mut Found,
) {
    match table.and_then(|it| name_of(it.syntax())) {
        Some(table) => actions.for_each(|it| alter_table::action(&it, &table, found)),
        // ALL IN TABLESPACE
        None => found.add(Class::MoveTable, Relation::Unnamed),
    }
}

pub(super) fn alter_domain(altered: &ast::AlterDomain, found: &mut Found) {
    let checks = match altered.action() {
        Some(AlterDomainAction::AddConstraint(it)) => match it.constraint() {
            Some(ast::Constraint::CheckConstraint(it)) => {
                !alter_table::is_unchecked(it.constraint_options())
            }
            _ => true,
        },
        Some(AlterDomainAction::ValidateConstraint(_) | AlterDomainAction::SetNotNull(_)) => true,
        _ => false,
    };
    let domain = altered.domain_ref().and_then(|it| name_of(it.syntax()));
    if let Some(domain) = domain.filter(|_| checks) {
        found.add(Class::CheckDomain, Relation::UsersOfDomain(domain));
    }
}

/// A column is named behind its table.
pub(super) fn comment(comment: &ast::CommentOn, found: &mut Found) {
    let Some(object) = comment.comment_object() else { return };
    match &object {
        ast::CommentObject::ObjectColumn(it) => {
            let text = it.syntax().text().to_string();
            let mut words = Words::new(&text, true);
            words.accept("column");
            found
                .add(Class::Describe, words.qualifier().map_or(Relation::Unnamed, Relation::Named));
        }
        ast::CommentObject::ObjectView(_) | ast::CommentObject::ObjectMaterializedView(_) => {
            let view = object.syntax().descendants().find_map(ast::ViewRef::cast);
            found.node(Class::Describe, view);
        }
        ast::CommentObject::ObjectTable(_) | ast::CommentObject::ObjectForeignTable(_) => {
            all_tables(Class::Describe, Some(object), found);
        }
        // A constraint or a trigger is described without locking its table.
        _ => {}
    }
}

pub(super) fn copy(copy: &ast::Copy, found: &mut Found) {
    let from = matches!(copy.copy_direction(), Some(ast::CopyDirection::CopyFrom(_)));
    if from {
        let table = copy.copy_table();
        first_table(Class::Insert, table, found);
    }
}

pub(super) fn create_table(created: &ast::CreateTable, found: &mut Found) {
    found.add(Class::CreateTable, Relation::Unnamed);
    for argument in created.table_arg_list().into_iter().flat_map(|it| it.args()) {
        match argument {
            TableArg::Column(column) => {
                for clause in column.clauses() {
                    if let ColumnClause::ColumnConstraint(ColumnConstraint::ReferencesConstraint(
                        it,
                    )) = clause
                    {
                        found.node(Class::Referenced, it.table());
                    }
                }
            }
            TableArg::TableConstraint(TableConstraint::ForeignKeyConstraint(it)) => {
                found.node(Class::Referenced, it.table_name_ref());
            }
            _ => {}
        }
    }
    let parent = created.partition_of().and_then(|it| it.table_name_ref());
    if let Some(parent) = parent.and_then(|it| name_of(it.syntax())) {
        found.named(Class::CreatePartition, &parent);
        found.default_partition_of(Class::DefaultPartition, &parent);
        found.referenced_by(Class::Referenced, &parent);
    }
    if let Some(parents) = created.inherits() {
        found.nodes(Class::CreateChild, parents.table_name_refs());
    }
}

pub(super) fn drop_index(dropped: &ast::DropIndex, found: &mut Found) {
    let class = match dropped.concurrently_token() {
        Some(_) => Class::DropIndexConcurrently,
        None => Class::DropIndex,
    };
    for index in dropped.index_refs().filter_map(|it| name_of(it.syntax())) {
        found.add(class, Relation::TableOfIndex(index));
    }
}

pub(super) fn drop_table(dropped: &ast::DropTable, found: &mut Found) {
    for table in dropped.table_name_refs().filter_map(|it| name_of(it.syntax())) {
        found.named(Class::DropTable, &table);
        found.loses_references(&table, dropped.drop_behavior());
        found.add(Class::LosePartition, Relation::ParentOf(table));
    }
}

pub(super) fn drop_view<N: AstNode>(
    views: impl Iterator<Item = N>,
    behavior: Option<DropBehavior>,
    found: &mut Found,
) {
    for view in views.filter_map(|it| name_of(it.syntax())) {
        found.named(Class::DropView, &view);
        if matches!(behavior, Some(DropBehavior::Cascade(_))) {
            found.add(Class::DropDependent, Relation::DependentsOf(view));
        }
    }
}

/// CASCADE takes columns along, of whatever type, extension, function or schema goes.
pub(super) fn drop_other(statement: &Stmt, found: &mut Found) {
    let cascades = has_token(statement.syntax(), SyntaxKind::CASCADE_KW);
    let first = statement.syntax().first_token();
    let dropped = first.is_some_and(|it| it.kind() == SyntaxKind::DROP_KW);
    if dropped && cascades {
        found.add(Class::DropWithData, Relation::Unnamed);
    }
}

pub(super) fn truncate(truncated: &ast::Truncate, found: &mut Found) {
    let cascades = matches!(truncated.drop_behavior(), Some(DropBehavior::Cascade(_)));
    let tables = truncated.table_list().into_iter().flat_map(|it| it.table_relation_names());
    for table in tables.filter_map(|it| it.table_name_ref()) {
        let Some(table) = name_of(table.syntax()) else { continue };
        found.named(Class::Truncate, &table);
        if cascades {
            found.add(Class::Truncate, Relation::Referencing(table));
        }
    }
}

pub(super) fn lock(locked: &ast::Lock, found: &mut Found) {
    use ast::LockMode as M;
    let mode = match locked.lock_mode_clause().and_then(|it| it.lock_mode()) {
        None | Some(M::AccessExclusive(_)) => LockMode::AccessExclusive,
        Some(M::AccessShare(_)) => LockMode::AccessShare,
        Some(M::RowShare(_)) => LockMode::RowShare,
        Some(M::RowExclusive(_)) => LockMode::RowExclusive,
        Some(M::ShareUpdateExclusive(_)) => LockMode::ShareUpdateExclusive,
        Some(M::Share(_)) => LockMode::Share,
        Some(M::ShareRowExclusive(_)) => LockMode::ShareRowExclusive,
        Some(M::Exclusive(_)) => LockMode::Exclusive,
    };
    all_tables(Class::Lock(mode), locked.relation_list(), found);
}

pub(super) fn reindex(reindex: &ast::Reindex, found: &mut Found) {
    let concurrently = has_token(reindex.syntax(), SyntaxKind::CONCURRENTLY_KW);
    let class = if concurrently { Class::ReindexConcurrently } else { Class::Reindex };
    match reindex.reindex_target() {
        Some(ReindexTarget::ReindexTargetTable(it)) => found.node(class, it.table_name_ref()),
        Some(ReindexTarget::ReindexTargetIndex(it)) => {
            let index = it.index_ref().and_then(|it| name_of(it.syntax()));
            found.add(class, index.map_or(Relation::Unnamed, Relation::TableOfIndex));
        }
        _ if concurrently => found.add(class, Relation::Unnamed),
        _ => found.add(Class::ReindexMany, Relation::Unnamed),
    }
}

//! The classes of a statement, by its syntax tree.

use squawk_syntax::{
    SourceFile, SyntaxKind, SyntaxNode,
    ast::{AstNode, DropBehavior, Stmt},
};

use super::{Action, Class, Effects, Relation, depth, object};
use crate::sql::words::{Name, Words};

/// What the actions of a statement are collected in.
#[derive(Default)]
pub(super) struct Found(Effects);

impl Found {
    pub(super) fn add(&mut self, class: Class, relation: Relation) {
        self.0.actions.push(Action { class, relation });
    }

    pub(super) fn named(&mut self, class: Class, name: &Name) {
        self.add(class, Relation::Named(name.clone()));
    }

    pub(super) fn node<N: AstNode>(&mut self, class: Class, node: Option<N>) {
        let name = node.and_then(|it| name_of(it.syntax()));
        self.add(class, name.map_or(Relation::Unnamed, Relation::Named));
    }

    pub(super) fn nodes<N: AstNode>(&mut self, class: Class, nodes: impl Iterator<Item = N>) {
        nodes.for_each(|it| self.node(class, Some(it)));
    }

    pub(super) fn referenced_by(&mut self, class: Class, table: &Name) {
        self.add(class, Relation::ReferencedBy(table.clone()));
    }

    /// Foreign keys go, and with CASCADE what depends on them or on the columns.
    pub(super) fn loses_references(&mut self, table: &Name, behavior: Option<DropBehavior>) {
        self.referenced_by(Class::Unreferenced, table);
        if matches!(behavior, Some(DropBehavior::Cascade(_))) {
            self.add(Class::DropDependent, Relation::DependentsOf(table.clone()));
        }
    }

    pub(super) fn default_partition_of(&mut self, class: Class, table: &Name) {
        self.add(class, Relation::DefaultPartitionOf(table.clone()));
    }
}

pub(super) fn read(statement: &str) -> Effects {
    let unknown = || Effects::one(Class::Unknown, Relation::Unnamed);
    if !depth::is_readable(statement) {
        return unknown();
    }
    // A bug of the parser is said, but it is no reason not to run what the server understands.
    let found = std::panic::catch_unwind(|| {
        let parse = SourceFile::parse(statement);
        let mut statements = parse.tree().stmts();
        let only = statements.next().filter(|_| statements.next().is_none())?;
        let mut found = Found::default();
        stmt(&only, &mut found);
        parse.errors().is_empty().then_some(found.0)
    });
    match found {
        Ok(Some(effects)) if effects.actions.is_empty() => {
            Effects::one(Class::NoTable, Relation::Unnamed)
        }
        Ok(Some(effects)) => effects,
        Ok(None) | Err(_) => unknown(),
    }
}

pub(super) fn stmt(statement: &Stmt, found: &mut Found) {
    match statement {
        Stmt::AlterTable(it) => {
            let table = it.table_relation_name().and_then(|it| it.table_name_ref());
            object::alter(table, it.actions(), found);
        }
        Stmt::AlterForeignTable(it) => {
            let table = it.table_relation_name().and_then(|it| it.table_name_ref());
            object::alter(table, it.actions(), found);
        }
        Stmt::AlterDomain(it) => object::alter_domain(it, found),
        Stmt::AlterIndex(_) => found.add(Class::AlterIndex, Relation::Unnamed),
        Stmt::AlterMaterializedView(it) => found.node(Class::AlterView, it.view_ref()),
        Stmt::AlterView(it) => found.node(Class::AlterView, it.view_ref()),
        Stmt::AlterPolicy(it) => first_table(Class::ChangeBehaviour, it.on_table(), found),
        Stmt::AlterRule(it) => first_table(Class::ChangeBehaviour, it.on_relation(), found),
        Stmt::AlterTrigger(it) => first_table(Class::ChangeBehaviour, it.on_relation(), found),
        Stmt::AlterPublication(it) => all_tables(Class::Publish, it.action(), found),
        Stmt::Analyze(it) => all_tables(Class::Analyze, it.table_and_columns_list(), found),
        Stmt::Cluster(it) => first_table(Class::Compact, Some(it.clone()), found),
        Stmt::CommentOn(it) => object::comment(it, found),
        Stmt::SecurityLabel(it) => {
            all_tables(Class::Describe, it.security_label_object(), found);
        }
        Stmt::Copy(it) => object::copy(it, found),
        Stmt::CreateIndex(it) => {
            let table = it.table_relation_name().and_then(|it| it.table_name_ref());
            let class = match it.concurrently_token() {
                Some(_) => Class::CreateIndexConcurrently,
                None => Class::CreateIndex,
            };
            found.node(class, table);
        }
        Stmt::CreatePolicy(it) => first_table(Class::ChangeBehaviour, it.on_table(), found),
        Stmt::CreatePublication(it) => {
            all_tables(Class::Publish, it.publication_for_clause(), found);
        }
        Stmt::CreateRule(it) => first_table(Class::ChangeBehaviour, it.rule_on(), found),
        Stmt::CreateSchema(it) => {
            let elements = it.schema_elements();
            elements
                .filter_map(|it| Stmt::cast(it.syntax().clone()))
                .for_each(|it| stmt(&it, found));
            found.0.creates = None;
        }
        Stmt::CreateStatistics(it) => first_table(Class::CreateStatistics, it.from_table(), found),
        Stmt::CreateTable(it) => {
            object::create_table(it, found);
            if it.if_not_exists().is_none() {
                found.0.creates = it.table_name().and_then(|it| name_of(it.syntax()));
            }
        }
        Stmt::CreateTableAs(it) => {
            found.add(Class::CreateTable, Relation::Unnamed);
            if it.if_not_exists().is_none() {
                found.0.creates = it.table_name().and_then(|it| name_of(it.syntax()));
            }
        }
        Stmt::SelectInto(it) => {
            found.add(Class::CreateTable, Relation::Unnamed);
            let table = it.into_clause().and_then(|it| it.table_name());
            found.0.creates = table.and_then(|it| name_of(it.syntax()));
        }
        Stmt::CreateMaterializedView(it) if it.if_not_exists().is_none() => {
            found.add(Class::CreateTable, Relation::Unnamed);
            found.0.creates = it.view().and_then(|it| name_of(it.syntax()));
        }
        Stmt::CreateTrigger(it) => first_table(Class::CreateTrigger, it.on_relation(), found),
        Stmt::DropForeignTable(it) => found.nodes(Class::DropTable, it.table_name_refs()),
        Stmt::DropIndex(it) => object::drop_index(it, found),
        Stmt::DropMaterializedView(it) => {
            object::drop_view(it.view_refs(), it.drop_behavior(), found);
        }
        Stmt::DropView(it) => object::drop_view(it.view_refs(), it.drop_behavior(), found),
        Stmt::DropPolicy(it) => first_table(Class::ChangeBehaviour, it.on_table(), found),
        Stmt::DropRule(it) => first_table(Class::ChangeBehaviour, it.on_relation(), found),
        Stmt::DropTrigger(it) => first_table(Class::ChangeBehaviour, it.on_relation(), found),
        Stmt::DropTable(it) => object::drop_table(it, found),
        Stmt::Lock(it) => object::lock(it, found),
        Stmt::Reassign(_) => found.add(Class::Unknown, Relation::Unnamed),
        Stmt::Refresh(it) => {
            let concurrently = has_token(it.syntax(), SyntaxKind::CONCURRENTLY_KW);
            let class = if concurrently { Class::RefreshConcurrently } else { Class::Refresh };
            found.node(class, it.view_ref());
        }
        Stmt::Reindex(it) => object::reindex(it, found),
        Stmt::Truncate(it) => object::truncate(it, found),
        Stmt::Vacuum(it) => {
            let full = has_token(it.syntax(), SyntaxKind::FULL_KW);
            let class = if full { Class::Compact } else { Class::Vacuum };
            all_tables(class, Some(it.clone()), found);
            if full && found.0.actions.is_empty() {
                found.add(class, Relation::Unnamed);
            }
        }
        other => object::drop_other(other, found),
    }
}

pub(super) fn first_table<N: AstNode>(class: Class, inside: Option<N>, found: &mut Found) {
    let table = inside.and_then(|it| tables(it.syntax()).next());
    found.add(class, table.map_or(Relation::Unnamed, Relation::Named));
}

pub(super) fn all_tables<N: AstNode>(class: Class, inside: Option<N>, found: &mut Found) {
    for table in inside.iter().flat_map(|it| tables(it.syntax())) {
        found.named(class, &table);
    }
}

fn tables(inside: &SyntaxNode) -> impl Iterator<Item = Name> {
    let wanted = [SyntaxKind::TABLE_NAME_REF, SyntaxKind::RELATION_NAME_REF];
    inside.descendants().filter(move |it| wanted.contains(&it.kind())).filter_map(|it| name_of(&it))
}

pub(super) fn name_of(node: &SyntaxNode) -> Option<Name> {
    Words::new(&node.text().to_string(), true).name()
}

pub(super) fn has_token(inside: &SyntaxNode, kind: SyntaxKind) -> bool {
    inside.descendants_with_tokens().any(|it| it.kind() == kind)
}

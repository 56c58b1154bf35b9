//! What a statement does to tables while it runs, told from its text before it runs.

mod alter_table;
mod class;
pub(crate) mod depth;
mod facts;
mod judge;
mod kind;
mod object;
mod statement;

use std::fmt;

pub use self::{
    class::Class,
    facts::{Facts, Leaves, Work},
    judge::{Concern, Judge, Judged},
};
use super::{kind::Kind, lock_mode::LockMode, words::Name};

/// What one statement does, action by action: an ALTER TABLE may have several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    pub actions: Vec<Action>,
    /// A table that is new for certain: nobody else can be waiting for it.
    pub creates: Option<Name>,
}

/// One class of doing to one relation. What it means stands in the table of facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub class: Class,
    pub relation: Relation,
}

/// Which relation is meant. Statements leave some to the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Relation {
    /// With its partitions and children, unless the statement says ONLY.
    Named(Name),
    TableOfIndex(Name),
    /// What foreign keys of this table refer to, if they are touched at all.
    ReferencedBy(Name),
    /// Tables with foreign keys to this one.
    Referencing(Name),
    /// What goes with it: foreign keys of other tables, views.
    DependentsOf(Name),
    /// Of a partition, together with the default partition.
    ParentOf(Name),
    DefaultPartitionOf(Name),
    UsersOfDomain(Name),
    /// None, or which ones cannot be told.
    Unnamed,
}

/// A lock that a statement takes, or may take if the catalog has such a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOn {
    pub relation: Relation,
    pub mode: LockMode,
}

impl Effects {
    /// Of a statement as the splitter found it. Rows that are added or changed are told by the
    /// kind alone: there can be millions of them in a file.
    pub fn of(statement: &str, kind: &Kind) -> Effects {
        kind::effects(statement, kind)
    }

    fn one(class: Class, relation: Relation) -> Effects {
        Effects { actions: vec![Action { class, relation }], creates: None }
    }

    /// The strongest one on each relation, in the order of the statement. Those that only readers
    /// and row locks need are left out: they are in nobody's way.
    pub fn locks(&self) -> Vec<LockOn> {
        let mut locks: Vec<LockOn> = Vec::new();
        for Action { class, relation } in &self.actions {
            let Some(mode) = class.facts().lock else { continue };
            match locks.iter_mut().find(|it| it.relation == *relation) {
                Some(known) => known.mode = known.mode.max(mode),
                None => locks.push(LockOn { relation: relation.clone(), mode }),
            }
        }
        locks
    }

    /// What stays behind if it is interrupted.
    pub fn leaves(&self) -> Leaves {
        let found = self.actions.iter().map(|it| it.class.facts().leaves);
        found.max().unwrap_or(Leaves::Nothing)
    }
}

impl Relation {
    /// Whether there is one for certain.
    pub fn is_certain(&self) -> bool {
        matches!(self, Relation::Named(_) | Relation::TableOfIndex(_))
    }

    /// The table or index that has a size to weigh by.
    pub(crate) fn name(&self) -> Option<&Name> {
        match self {
            Relation::Named(name) | Relation::TableOfIndex(name) => Some(name),
            _ => None,
        }
    }

    /// The table that the statement names, if this is one or has to do with one.
    pub(crate) fn table(&self) -> Option<&Name> {
        match self {
            Relation::Named(name)
            | Relation::ReferencedBy(name)
            | Relation::Referencing(name)
            | Relation::DependentsOf(name)
            | Relation::ParentOf(name)
            | Relation::DefaultPartitionOf(name) => Some(name),
            Relation::TableOfIndex(_) | Relation::UsersOfDomain(_) | Relation::Unnamed => None,
        }
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Relation::Named(name) => write!(f, "`{name}`"),
            Relation::TableOfIndex(index) => write!(f, "the table of index `{index}`"),
            Relation::ReferencedBy(name) => {
                write!(f, "the tables that `{name}` refers to")
            }
            Relation::Referencing(name) => write!(f, "the tables that refer to `{name}`"),
            Relation::DependentsOf(name) => write!(f, "what depends on `{name}`"),
            Relation::ParentOf(name) => write!(f, "the parent of `{name}`"),
            Relation::DefaultPartitionOf(name) => write!(f, "the default partition of `{name}`"),
            Relation::UsersOfDomain(name) => write!(f, "the tables that use domain `{name}`"),
            Relation::Unnamed => f.write_str("tables"),
        }
    }
}

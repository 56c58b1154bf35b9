//! How dangerous the statements of a migration are, one after the other.

use std::collections::HashSet;

use super::{Action, Class, Effects, Facts, Work};
use crate::{migration::risk::Risk, sql::words::Name};

/// Remembers which tables the migration itself made: nobody else sees them before it commits.
#[derive(Debug, Default)]
pub struct Judge {
    created: HashSet<Name>,
    worst: Option<Risk>,
}

/// What an action means for others, and what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub action: Action,
    pub risk: Risk,
    pub concern: Option<Concern>,
}

/// What a person should know before a statement runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    pub code: &'static str,
    pub risk: Risk,
    pub message: String,
    pub instead: Option<&'static str>,
}

impl Judge {
    /// Takes the next statement, and says what there is to say about it.
    pub fn see(&mut self, effects: &Effects) -> Vec<Concern> {
        self.judge(effects).into_iter().filter_map(|it| it.concern).collect()
    }

    /// The same, action by action.
    pub fn judge(&mut self, effects: &Effects) -> Vec<Judged> {
        let mut judged = Vec::new();
        for action in &effects.actions {
            if !action.relation.table().is_some_and(|it| self.created.contains(it)) {
                let risk = risk(&action.class.facts(), action.class);
                self.worst = self.worst.max(Some(risk));
                judged.push(Judged { action: action.clone(), risk, concern: concern(action) });
            }
        }
        self.created.extend(effects.creates.clone());
        judged
    }

    /// The highest risk so far.
    pub fn worst(&self) -> Risk {
        self.worst.unwrap_or(Risk::Low)
    }
}

fn risk(facts: &Facts, class: Class) -> Risk {
    let blocks_reads = facts.lock.is_some_and(|it| it.blocks_reads());
    let blocks_writes = facts.lock.is_some_and(|it| it.blocks_writes());
    match facts.work {
        _ if facts.destroys => Risk::High,
        _ if matches!(class, Class::Code | Class::Unknown) => Risk::Medium,
        Work::Rewrite | Work::RewriteUnless(_) | Work::Scan | Work::ScanUnless(_)
            if blocks_reads =>
        {
            Risk::High
        }
        // Even a short one: who comes later queues up behind it while it waits.
        _ if blocks_writes => Risk::Medium,
        Work::Rows => Risk::Medium,
        _ => Risk::Low,
    }
}

fn concern(Action { class, relation }: &Action) -> Option<Concern> {
    let facts = class.facts();
    let does = match facts.work {
        _ if facts.destroys => format!("destroys what is in {relation}"),
        _ if *class == Class::Unknown => "cannot be judged: it could not be read".to_owned(),
        Work::Scan => format!("reads all of {relation}"),
        Work::ScanUnless(saving) => format!("reads all of {relation}, unless {saving}"),
        Work::Rewrite => format!("writes all of {relation} anew"),
        Work::RewriteUnless(saving) => format!("writes all of {relation} anew, unless {saving}"),
        // Short, but there is a way that stops nobody.
        Work::Brief if facts.instead.is_some() => format!("shuts {relation} for a moment"),
        Work::Brief | Work::Rows => return None,
    };
    let waits = match facts.lock {
        _ if facts.destroys => "",
        Some(_) if facts.work == Work::Brief => "; whoever comes later queues up behind it",
        Some(lock) if lock.blocks_reads() => "; nobody can read or write meanwhile",
        Some(lock) if lock.blocks_writes() => "; nobody can write meanwhile",
        Some(_) => return None,
        None => "",
    };
    Some(Concern {
        code: facts.code,
        risk: risk(&facts, *class),
        message: format!("{does}{waits}"),
        instead: facts.instead,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::split::split;

    /// The risk of a migration, and what there is to say about it.
    fn judge(sql: &str) -> (Risk, Vec<&'static str>) {
        let mut judge = Judge::default();
        let mut codes = Vec::new();
        for statement in split("f.sql", sql, 1) {
            let statement = statement.unwrap();
            let effects = Effects::of(statement.text(sql), &statement.kind);
            codes.extend(judge.see(&effects).iter().map(|it| it.code));
        }
        (judge.worst(), codes)
    }

    #[test]
    fn risk_follows_from_what_others_have_to_wait_for() {
        for (sql, risk, codes) in [
            ("", Risk::Low, &[][..]),
            ("create table t (a int); insert into t values (1)", Risk::Low, &[]),
            ("create index concurrently i on t (a)", Risk::Low, &[]),
            ("alter table t validate constraint c", Risk::Low, &[]),
            ("alter type e add value 'x'", Risk::Low, &[]),
            ("alter table t add a int", Risk::Medium, &[]),
            ("create table n (a int references t)", Risk::Medium, &[]),
            ("create trigger g before insert on t execute function f()", Risk::Medium, &[]),
            ("update t set a = 1", Risk::Medium, &[]),
            ("do 'begin end'", Risk::Medium, &[]),
            ("create index on t (a)", Risk::Medium, &["create-index-not-concurrent"]),
            ("alter table t alter a set not null", Risk::High, &["set-not-null"]),
            ("alter table t alter a type bigint", Risk::High, &["change-type-rewrite"]),
            (
                "alter table t add a uuid default gen_random_uuid()",
                Risk::High,
                &["add-column-volatile-default"],
            ),
            ("alter table t drop a", Risk::High, &["drop-column"]),
            ("truncate t", Risk::High, &["truncate"]),
            ("drop schema s cascade", Risk::High, &["drop-cascade"]),
            ("drop database d", Risk::High, &["drop-cascade"]),
            ("create view v as select 1", Risk::Low, &[]),
            ("create or replace view v as select 1", Risk::Medium, &[]),
            ("grant select on t to u", Risk::Low, &[]),
            ("frobnicate t", Risk::Medium, &["unknown"]),
            ("alter tabel t add a int", Risk::Medium, &["unknown"]),
            ("alter table t frobnicate", Risk::Medium, &["unknown"]),
        ] {
            assert_eq!(judge(sql), (risk, codes.to_vec()), "{sql}");
        }
    }

    #[test]
    fn a_table_that_the_migration_makes_is_in_nobodys_way() {
        let change =
            "create index on \"T\" (a); alter table \"T\" alter a set not null; drop table \"T\"";
        let made = format!("create table \"T\" (a int); {change}");
        assert_eq!(judge(&made), (Risk::Low, vec![]));
        let perhaps = format!("create table if not exists \"T\" (a int); {change}");
        assert_eq!(judge(&perhaps).0, Risk::High);
        let another = format!("create table t (a int); {change}");
        assert_eq!(judge(&another).0, Risk::High);
    }

    #[test]
    fn a_concern_says_what_is_done_and_who_has_to_wait() {
        let sql = "alter table app.\"T\" alter a set not null";
        let statement = split("f.sql", sql, 1).next().unwrap().unwrap();
        let concerns = Judge::default().see(&Effects::of(sql, &statement.kind));
        let [concern] = &concerns[..] else { panic!("{concerns:?}") };
        assert_eq!(
            concern.message,
            "reads all of `app.T`, unless a valid CHECK (… IS NOT NULL) is there; \
             nobody can read or write meanwhile"
        );
    }
}

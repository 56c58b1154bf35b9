//! `update-order-limit`: UPDATE and DELETE know no ORDER BY and no LIMIT.

use super::{
    super::view::{View, outer_words_of},
    Hit, Rule, Weighs,
};
use crate::{migration::risk::Risk, record::Severity};

pub(super) const RULE: Rule = Rule {
    code: "update-order-limit",
    severity: Severity::Error,
    weighs: Weighs::Always,
    risk: Risk::High,
    instead: "change rows in ranges of a key: `-- migrate:batch table=… key=…` before the statement",
    find,
};

fn find(view: &View<'_>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for (index, seen) in view.statements.iter().enumerate() {
        let whole = seen.is_rows().then(|| vec![seen.text]);
        let parts = whole.or_else(|| Some(seen.body()?.split(';').collect()));
        if parts.iter().flatten().any(|it| is_limited(it)) {
            let message = "PostgreSQL knows no UPDATE or DELETE with ORDER BY or LIMIT: it fails";
            hits.push(Hit::at(index, message));
        }
    }
    hits
}

/// Of one statement, which in a block may stand behind other words.
fn is_limited(text: &str) -> bool {
    let words = outer_words_of(text);
    let verb = words.iter().position(|it| it == "update" || it == "delete");
    let Some(verb) = verb.filter(|it| words[..*it].iter().all(|it| it != "for" && it != "select"))
    else {
        return false;
    };
    let rest = &words[verb..];
    let until = rest.iter().position(|it| it == "select").unwrap_or(rest.len());
    let rest = &rest[..until];
    rest.iter().any(|it| it == "limit") || rest.windows(2).any(|it| it == ["order", "by"])
}

#[test]
fn it_is_found_where_it_fails_and_nowhere_else() {
    super::check(
        &RULE,
        &[
            "update t set a = 1 where b > 2 order by id limit 10",
            "delete from t limit 5",
            "do $$ begin loop update t set a = 1 where id > 1 order by id limit 10; end loop; end $$",
        ],
        &[
            "update t set a = 1 where id in (select id from t order by id limit 10)",
            "select 1 from t order by a limit 1 for update",
            "do $$ begin perform id from t order by id limit 1 for update; end $$",
            "with x as (select id from t limit 5) delete from t using x where t.id = x.id",
        ],
    );
}

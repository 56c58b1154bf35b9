//! Which statements can be cut into ranges, and how their table is named.

use super::*;
use crate::migration::directive;

fn script(text: &str) -> Script {
    Script {
        file: "f.sql".to_owned(),
        first_line: 1,
        transaction: false,
        marked: true,
        batches: directive::batches("f.sql", text, 1).unwrap(),
        text: text.to_owned().into(),
    }
}

fn read(batch: &str, text: &str) -> Result<String, String> {
    let script = script(&format!("-- migrate:batch {batch}\n{text}"));
    match of_script(&script) {
        Ok(found) => {
            let statement = script.statements().nth(found[0].statement as usize - 1);
            let text = statement.unwrap().unwrap().text(&script.text).to_owned();
            Ok(found[0].sql(&text, &format!("<{}>", found[0].qualifier)))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_table_is_called_what_the_statement_calls_it() {
    for (batch, text, expected) in [
        ("table=t key=id", "update t set a = 1 where {batch}", "update t set a = 1 where <t>"),
        (
            "table=app.t key=id",
            "UPDATE ONLY app.T AS o SET a = '{batch}' WHERE (a or b) AND {BATCH} RETURNING 1",
            "UPDATE ONLY app.T AS o SET a = '{batch}' WHERE (a or b) AND <o> RETURNING 1",
        ),
        (
            "table=t key=id",
            "delete from \"t\" \"O\" using p where p.id = 1 and {batch} and p.x",
            "delete from \"t\" \"O\" using p where p.id = 1 and <\"O\"> and p.x",
        ),
        (
            "table=t key=id",
            "insert into t (id) select t.id from old, t where {batch} on conflict do nothing",
            "insert into t (id) select t.id from old, t where <t> on conflict do nothing",
        ),
        (
            "table=t key=id alias=b",
            "update t b set x = a.id from t a where a.n = b.id and {batch}",
            "update t b set x = a.id from t a where a.n = b.id and <b>",
        ),
        (
            "table=t key=id",
            "insert into u select t.id from t left join p on p.id = t.id where {batch}",
            "insert into u select t.id from t left join p on p.id = t.id where <t>",
        ),
        (
            "table=t key=id alias=v",
            "with n as (select 1) update only app.v set x = 1 where {batch}",
            "with n as (select 1) update only app.v set x = 1 where <v>",
        ),
        (
            "table=t key=id",
            "update t set (a, b) = (id, id), c = greatest(1, id) where {batch}",
            "update t set (a, b) = (id, id), c = greatest(1, id) where <t>",
        ),
    ] {
        assert_eq!(read(batch, text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_ranges_would_do_otherwise_is_refused() {
    let batch = "table=t key=id,\"K\"";
    for (text, expected) in [
        ("update t set a = 1", "2:1: there is no `{batch}` in the statement of a batch"),
        (
            "update t set a = 1 where {batch} and {batch}",
            "2:1: `{batch}` stands more than once in a statement",
        ),
        (
            "update t set a = 1 where a in (select b from u where {batch})",
            "2:1: `{batch}` stands inside of parentheses",
        ),
        ("update t set a = 1 where a or {batch}", "2:1: `{batch}` has to hold for every row"),
        ("update t set a = 1 where a or b and {batch}", "2:1: `{batch}` has to hold for every row"),
        ("update t set a = 1 where {batch} and a or b", "2:1: `{batch}` has to hold for every row"),
        ("update t set a = 1 where not {batch}", "2:1: `{batch}` has to hold for every row"),
        ("update t set a = {batch}", "2:1: `{batch}` does not stand in the WHERE of the statement"),
        (
            "insert into u select * from t where true on conflict (a) do update set a = 1 where {batch}",
            "2:1: `{batch}` has to hold for every row",
        ),
        (
            "insert into u select 1 union select id from t where {batch}",
            "2:1: each range would do its own UNION",
        ),
        (
            "insert into u select distinct id from t where {batch}",
            "2:1: each range would do its own DISTINCT",
        ),
        (
            "insert into u select id, row_number() over (order by id) from t where {batch}",
            "2:1: each range would do its own OVER",
        ),
        (
            "with gone as (delete from u returning id) update t set a = 1 where {batch}",
            "2:1: each range would do its own DELETE",
        ),
        (
            "update u set a = t.a from t where u.id = t.id and {batch}",
            "2:1: the ranges are of `t`, and the statement changes `u`: one of its rows could be \
             changed by several ranges",
        ),
        (
            "insert into u select p.id from p left outer join t on p.id = t.id where {batch}",
            "2:1: an outer join may have rows without `t`, which are in no range",
        ),
        (
            "insert into u select p.id from t right join p on p.id = t.id where {batch}",
            "2:1: an outer join may have rows without `t`, which are in no range",
        ),
        ("truncate t", "2:1: there is no `{batch}` in the statement of a batch"),
        ("select 1 from t where {batch}", "2:1: SELECT cannot be cut into ranges"),
        ("update u set a = 1 where {batch}", "2:1: the statement does not name the table `t`"),
        (
            "update t set a = 1 from t as b where {batch}",
            "2:1: the statement names the table `t` more than once",
        ),
        (
            "update t set a = 1, ID = 2 where {batch}",
            "2:1: the statement changes `id`, a column of the batch's key",
        ),
        (
            "update t set (a, \"K\") = (1, 2) where {batch}",
            "2:1: the statement changes `K`, a column of the batch's key",
        ),
        ("", "1:1: no statement follows this batch"),
        (
            "-- migrate:batch table=t key=id\nupdate t set a = 1 where {batch}",
            "2:1: this is the second batch of one statement",
        ),
        (
            "update t set a = 1 where {batch};\nupdate t\n-- migrate:batch table=t key=id\nset a = 1",
            "4:1: a batch stands inside a statement",
        ),
    ] {
        assert_eq!(read(batch, text), Err(format!("f.sql:{expected}")), "{text}");
    }
}

#[test]
fn a_batch_stands_in_no_transaction_of_the_script() {
    let text = "begin;\n-- migrate:batch table=t key=id\nupdate t set a = 1 where {batch};\ncommit";
    let error = of_script(&script(text)).unwrap_err().to_string();
    assert_eq!(error, "f.sql:2:1: a batch commits each range, and stands in a transaction");
}

#[test]
fn functions_that_are_called_for_each_row_are_told_but_not_those_of_sub_queries() {
    let script = script(
        "-- migrate:batch table=t key=id\n\
         insert into u (a) select coalesce(app.\"Sum\"(t.n), 0), (select max(x) from p)\n\
         from t where t.id in (1, 2) and {batch}",
    );
    let calls: Vec<String> =
        of_script(&script).unwrap()[0].calls.iter().map(ToString::to_string).collect();
    assert_eq!(calls, ["u", "coalesce", "app.Sum", "in"]);
}

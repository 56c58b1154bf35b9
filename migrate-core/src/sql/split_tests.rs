//! How texts fall into statements, and what is refused.

use super::*;

fn statements(text: &str) -> Vec<&str> {
    split("f.sql", text, 1).map(|statement| statement.unwrap().text(text)).collect()
}

fn error(text: &str) -> String {
    split("f.sql", text, 1).find_map(Result::err).map(|e| e.to_string()).unwrap_or_default()
}

#[test]
fn semicolons_split_only_outside_of_quotes_comments_and_parentheses() {
    for (text, expected) in [
        ("select 1; select 2", &["select 1", "select 2"][..]),
        (";; -- only this\n /* and ; this */ ;", &[]),
        ("", &[]),
        (
            "select ';' || $$;$$ || \";\" -- ;\n + 1 /* ; */ ;",
            &["select ';' || $$;$$ || \";\" -- ;\n + 1"],
        ),
        (
            "create rule r as on insert to t do (select 1; select 2); x",
            &["create rule r as on insert to t do (select 1; select 2)", "x"],
        ),
        ("select 1); select 2", &["select 1)", "select 2"]),
        ("select 1::int;select a[1:2];", &["select 1::int", "select a[1:2]"]),
        ("select :name, :'name', :\"n;\";x", &["select :name, :'name', :\"n;\"", "x"]),
        ("select 1;\r\n-- c\r\nselect 2;\r\n", &["select 1", "select 2"]),
        ("select '\\'; select 2", &["select '\\'", "select 2"]),
        ("select e'\\'; '; select 2", &["select e'\\'; '", "select 2"]),
    ] {
        assert_eq!(statements(text), expected, "{text}");
    }
}

#[test]
fn bodies_of_sql_functions_are_one_statement() {
    for text in [
        "create function f() returns int begin atomic select 1; select 2; end",
        "CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC select case when a then 1 end; insert into t values (1); END",
        "create function f() returns int begin atomic select case case 1 when 1 then 2 end when 2 then 3 end; end",
        "create function f() returns int begin atomic select t.end, 1 as \"case\", 2 as case from t; select 1; end",
        "create function begin() returns int return 1",
        "create function f(begin int) returns int as $$ begin; end; $$ language plpgsql",
    ] {
        assert_eq!(statements(&format!("{text}; select 1")), [text, "select 1"], "{text}");
    }
    // Only these may have such a body: elsewhere BEGIN is what it says.
    assert_eq!(statements("begin; select case 1 when 1 then 2 end; end; x").len(), 4);
    assert_eq!(statements("create view v as select 1; begin atomic; x").len(), 3);
}

#[test]
fn strings_are_read_as_the_file_sets_them() {
    let text = "set standard_conforming_strings = off; select 'a\\';'; reset all; select 'a\\'; x";
    assert_eq!(statements(text).len(), 5);
    assert_eq!(statements(text)[1], r"select 'a\';'");
}

#[test]
fn rows_of_copy_are_not_sql() {
    for newline in ["\n", "\r\n"] {
        let text = "copy t from stdin; -- rows\n1\t';\n\\.x\n\\.\nselect 1;".replace('\n', newline);
        let found: Vec<_> = split("f", &text, 1).collect::<Result<_>>().unwrap();
        assert_eq!(found.len(), 2);
        let rows = &text[found[0].copy_data.clone().unwrap()];
        assert_eq!(rows, "1\t';\n\\.x\n".replace('\n', newline));
        assert_eq!(found[1].line, 5);
        assert_eq!(found[1].copy_data, None);
    }
    let empty = "copy t from stdin;\n\\.";
    assert_eq!(split("f", empty, 1).next().unwrap().unwrap().copy_data, Some(19..19));
}

#[test]
fn statements_know_their_line_and_column() {
    let text = "-- é\nselect 1; /* x\n */ 漢 select 2;\n\nselect 3";
    let found: Vec<_> =
        split("f", text, 10).map(|s| s.map(|s| (s.line, s.column)).unwrap()).collect();
    assert_eq!(found, [(11, 1), (12, 5), (14, 1)]);
}

#[test]
fn what_is_never_closed_is_an_error_where_it_opened() {
    for (text, expected) in [
        ("select 1;\n select 'a; b", "f.sql:2:9: string is never closed"),
        ("select E'\\'", "f.sql:1:8: string is never closed"),
        ("\n\"a;", "f.sql:2:1: quoted name is never closed"),
        ("é $x$ $y$", "f.sql:1:3: dollar quote is never closed"),
        ("/* /* */", "f.sql:1:1: comment `/*` is never closed"),
        ("select ((1); x", "f.sql:1:8: parenthesis is never closed"),
        (
            "create function f() returns int\nbegin atomic select 1; x",
            "f.sql:2:1: `BEGIN ATOMIC` has no `END`",
        ),
        ("x;\ncopy t from stdin;\n1\n", "f.sql:2:1: the rows of `COPY … FROM stdin` have no end"),
        ("copy t from stdin", "f.sql:1:1: the rows of `COPY … FROM stdin` have no end"),
        (
            "copy t from stdin; select 1;\n\\.\n",
            "f.sql:1:20: nothing may follow `COPY … FROM stdin;` on its line",
        ),
        ("select 1;\nselect\0 2", "f.sql:2:7: NUL byte at byte 16"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn commands_of_psql_are_refused_but_for_the_two_that_pg_dump_writes() {
    let restricted = "\\restrict a'b\r\nselect 1;\n\\unrestrict a'b\n";
    assert_eq!(statements(restricted), ["select 1"]);
    for (text, expected) in [
        ("select 1;\n  \\i x.sql", r"f.sql:2:3: `\i` is a command of psql, not SQL"),
        ("select 1 \\gset", r"f.sql:1:10: `\gset` is a command of psql, not SQL"),
        ("\\! rm -rf /", r"f.sql:1:1: `\!` is a command of psql, not SQL"),
        ("\\.", r"f.sql:1:1: `\.` is a command of psql, not SQL"),
        ("select \\restrict x", r"f.sql:1:8: `\restrict` is a command of psql, not SQL"),
        ("select 1 \\; select 2", r"f.sql:1:10: `\;` is a command of psql, not SQL"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn an_error_ends_the_statements() {
    let mut found = split("f", "select 1; \\q\n select 2;", 1);
    assert!(found.next().unwrap().is_ok());
    assert!(found.next().unwrap().is_err());
    assert!(found.next().is_none());
}

#[test]
fn depth_costs_no_stack() {
    let text = format!("select {}1{};x", "(".repeat(100_000), ")".repeat(100_000));
    assert_eq!(statements(&text).len(), 2);
    let text = format!("{}{}x", "/*".repeat(100_000), "*/".repeat(100_000));
    assert_eq!(statements(&text), ["x"]);
}

#[test]
fn tokens_give_back_every_byte() {
    for_random_texts(|text| {
        let mut lexer = Lexer::new(text);
        let mut at = 0;
        while let Ok(Some(token)) = lexer.next_token() {
            assert_eq!(token.start, at, "{text}");
            assert!(token.end > token.start, "{text}");
            at = token.end;
        }
    });
}

#[test]
fn statements_stand_in_order_and_never_begin_or_end_in_nothing() {
    for_random_texts(|text| {
        let mut at = 0;
        for statement in split("f", text, 1).flatten() {
            assert!(statement.range.start >= at, "{text}");
            let trimmed = statement.text(text).trim_matches([' ', '\n', '\r']);
            assert_eq!(trimmed, statement.text(text), "{text}");
            assert!(!statement.text(text).is_empty());
            let place = position_of(text, statement.range.start, 1);
            assert_eq!((statement.line, statement.column), place, "{text}");
            at = statement.copy_data.map_or(statement.range.end, |rows| rows.end);
        }
    });
}

fn for_random_texts(check: impl Fn(&str)) {
    const PIECES: &[&str] = &[
        "'",
        "\"",
        "$",
        "$$",
        "$a$",
        "\\",
        ";",
        "(",
        ")",
        "/*",
        "*/",
        "--",
        "\n",
        "\r\n",
        " ",
        "e'",
        "E",
        "u&\"",
        "U&'",
        "\\.",
        "copy t from stdin;",
        "begin",
        " atomic ",
        "end",
        "create function ",
        "1.",
        ".",
        "1e",
        "é",
        "漢",
        "\0",
        ":",
        "set standard_conforming_strings=off;",
        "reindex (",
        "drop index concurrently ",
        "with ",
        "alter table ",
        "detach partition ",
        "u&\"\\00e9\"",
        "\u{a0}",
        "reset ",
        "create index concurrently ",
        ",",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..30_000 {
        let text: String =
            (0..random.usize(0..25)).map(|_| PIECES[random.usize(0..PIECES.len())]).collect();
        check(&text);
    }
}

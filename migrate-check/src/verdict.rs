//! What the rows of a query say: how many are wrong, under which name; no input or output.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tokio_postgres::types::Type;

/// More names than this are told under the query's own.
const MOST_NAMES: usize = 1_000;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Type,
}

/// The answer of a query, or of one `check_name` in it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) name: Option<String>,
    /// How many rows are wrong.
    pub(crate) wrong: u64,
    /// The sum of their counts, where they have one.
    pub(crate) count: Option<i64>,
    pub(crate) violation: Option<String>,
    /// A count that is no number.
    pub(crate) unclear: Option<String>,
    /// The first of them.
    pub(crate) rows: Vec<Map<String, Value>>,
}

impl Verdict {
    pub(crate) fn is_well(&self) -> bool {
        self.wrong == 0
    }

    pub(crate) fn message(&self) -> String {
        let more = if self.wrong > 1 { format!(" in {} rows", self.wrong) } else { String::new() };
        if let Some(unclear) = &self.unclear {
            return format!("the count is {unclear}, which is no answer{more}");
        }
        match (&self.violation, self.count) {
            _ if self.wrong == 0 => "nothing is wrong".to_owned(),
            (Some(text), _) if self.wrong == 1 && !text.is_empty() => text.clone(),
            (Some(_), _) => format!("violations: {}", self.wrong),
            (None, Some(count)) => format!("the count is {count}{more}"),
            (None, None) => format!("rows that are wrong: {}", self.wrong),
        }
    }
}

/// Takes the rows of one query, and keeps only what its verdict needs.
pub(crate) struct Judge {
    columns: Vec<Column>,
    count: Option<usize>,
    violation: Option<usize>,
    check_name: Option<usize>,
    show: usize,
    verdicts: BTreeMap<Option<String>, Verdict>,
    /// Names in the order in which they came.
    order: Vec<Option<String>>,
}

impl Judge {
    pub(crate) fn new(columns: Vec<Column>, show: usize) -> Judge {
        let find = |name: &str| columns.iter().position(|it| it.name == name);
        let (count, violation, check_name) = (find("count"), find("violation"), find("check_name"));
        Judge {
            columns,
            count,
            violation,
            check_name,
            show,
            verdicts: BTreeMap::new(),
            order: Vec::new(),
        }
    }

    /// Whether the query says what is wrong; if not, its rows are only told.
    pub(crate) fn judges(&self) -> bool {
        self.count.is_some() || self.violation.is_some()
    }

    pub(crate) fn take(&mut self, row: &[Option<&str>]) {
        let name = self.check_name.and_then(|it| row[it]).map(str::to_owned);
        let known = self.order.len() < MOST_NAMES || self.verdicts.contains_key(&name);
        let name = name.filter(|_| known);
        if !self.verdicts.contains_key(&name) {
            self.order.push(name.clone());
        }
        let values = self.show > 0;
        let verdict = self
            .verdicts
            .entry(name.clone())
            .or_insert_with(|| Verdict { name, ..Verdict::default() });
        let said = self.count.map_or(Count::Fine, |it| Count::read(row[it]));
        let violated = self
            .violation
            .is_some_and(|it| !(self.columns[it].kind == Type::BOOL && row[it] == Some("f")));
        if said == Count::Fine && !violated {
            return;
        }
        verdict.wrong += 1;
        match said {
            Count::Fine => (),
            Count::Over(count) => {
                verdict.count = Some(verdict.count.unwrap_or(0).saturating_add(count));
            }
            Count::Unclear(text) => verdict.unclear = Some(text),
        }
        if violated && let Some(at) = self.violation {
            verdict.violation.get_or_insert(row[at].unwrap_or_default().to_owned());
        }
        if values && verdict.rows.len() < self.show {
            verdict.rows.push(values_of(&self.columns, row));
        }
    }

    /// One verdict for each name, or one for all.
    pub(crate) fn end(mut self) -> Vec<Verdict> {
        if self.order.is_empty() {
            return vec![Verdict::default()];
        }
        self.order.iter().filter_map(|name| self.verdicts.remove(name)).collect()
    }

    pub(crate) fn values(&self, row: &[Option<&str>]) -> Map<String, Value> {
        values_of(&self.columns, row)
    }
}

#[derive(Debug, PartialEq)]
enum Count {
    /// Zero or less.
    Fine,
    Over(i64),
    Unclear(String),
}

impl Count {
    /// NULL and NaN are neither over 0 nor not: nobody knows, so it is no pass.
    fn read(text: Option<&str>) -> Count {
        let Some(text) = text else { return Count::Unclear("NULL".to_owned()) };
        if let Ok(number) = text.parse::<i64>() {
            return if number > 0 { Count::Over(number) } else { Count::Fine };
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_nan() => Count::Unclear("NaN".to_owned()),
            Ok(number) if number > 0.0 => Count::Over(number.ceil() as i64),
            Ok(_) => Count::Fine,
            Err(_) => Count::Unclear(format!("`{}`", text.chars().take(40).collect::<String>())),
        }
    }
}

/// The row as JSON; two columns of one name are told apart by a number.
fn values_of(columns: &[Column], row: &[Option<&str>]) -> Map<String, Value> {
    let mut values = Map::new();
    for (column, text) in columns.iter().zip(row) {
        let mut name = column.name.clone();
        let mut number = 2;
        while values.contains_key(&name) {
            name = format!("{}_{number}", column.name);
            number += 1;
        }
        values.insert(name, value(&column.kind, *text));
    }
    values
}

/// Numbers as numbers where JSON keeps them whole; anything else as the server writes it.
fn value(kind: &Type, text: Option<&str>) -> Value {
    let Some(text) = text else { return Value::Null };
    let parsed = match *kind {
        Type::BOOL => Some(Value::Bool(text == "t")),
        Type::INT2 | Type::INT4 | Type::INT8 | Type::OID | Type::NUMERIC => {
            text.parse::<i64>().ok().map(Value::from)
        }
        Type::FLOAT4 | Type::FLOAT8 => {
            text.parse::<f64>().ok().filter(|it| it.is_finite()).map(Value::from)
        }
        Type::JSON | Type::JSONB => serde_json::from_str(text).ok(),
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(columns: &[(&str, Type)], rows: &[&[Option<&str>]]) -> Vec<Verdict> {
        let columns = columns
            .iter()
            .map(|(name, kind)| Column { name: (*name).to_owned(), kind: kind.clone() });
        let mut judge = Judge::new(columns.collect(), 1);
        assert!(judge.judges());
        rows.iter().for_each(|row| judge.take(row));
        judge.end()
    }

    #[test]
    fn a_count_over_zero_is_wrong_and_so_is_one_that_is_no_number() {
        for (text, message) in [
            (Some("0"), None),
            (Some("-3"), None),
            (Some("0.0"), None),
            (Some("2"), Some("the count is 2")),
            (Some("0.5"), Some("the count is 1")),
            (Some("Infinity"), Some("the count is 9223372036854775807")),
            (None, Some("the count is NULL, which is no answer")),
            (Some("NaN"), Some("the count is NaN, which is no answer")),
            (Some("many"), Some("the count is `many`, which is no answer")),
        ] {
            let verdict = judge(&[("count", Type::TEXT)], &[&[text]]).remove(0);
            assert_eq!(verdict.is_well(), message.is_none(), "{text:?}");
            message.inspect(|it| assert_eq!(verdict.message(), *it));
        }
    }

    #[test]
    fn no_row_means_that_nothing_was_found() {
        assert!(judge(&[("count", Type::INT8)], &[])[0].is_well());
        assert!(judge(&[("violation", Type::TEXT)], &[])[0].is_well());
    }

    #[test]
    fn each_name_has_a_verdict_of_its_own() {
        let columns = [("check_name", Type::TEXT), ("count", Type::INT8)];
        let verdicts = judge(
            &columns,
            &[&[Some("b"), Some("0")], &[Some("a"), Some("2")], &[Some("a"), Some("3")]],
        );
        assert_eq!(verdicts.len(), 2);
        assert_eq!((verdicts[0].name.as_deref(), verdicts[0].wrong), (Some("b"), 0));
        assert_eq!((verdicts[1].wrong, verdicts[1].count, verdicts[1].rows.len()), (2, Some(5), 1));
    }

    #[test]
    fn a_violation_is_wrong_unless_it_is_false() {
        let of = |kind: Type, text| judge(&[("violation", kind)], &[&[text]]).remove(0);
        assert!(of(Type::BOOL, Some("f")).is_well());
        assert!(!of(Type::BOOL, Some("t")).is_well());
        assert!(!of(Type::BOOL, None).is_well());
        assert_eq!(of(Type::TEXT, Some("price is negative")).message(), "price is negative");
    }

    #[test]
    fn thousands_of_names_do_not_fill_the_memory() {
        let columns = ["check_name", "count"]
            .map(|it| Column { name: it.to_owned(), kind: Type::TEXT })
            .to_vec();
        let mut judge = Judge::new(columns, 1);
        for number in 0..10_000 {
            judge.take(&[Some(&number.to_string()), Some("1")]);
        }
        let verdicts = judge.end();
        assert_eq!(verdicts.len(), MOST_NAMES + 1);
        assert_eq!(verdicts[MOST_NAMES].wrong, 10_000 - MOST_NAMES as u64);
    }

    #[test]
    fn values_keep_their_types_where_json_has_them() {
        let columns =
            [("n", Type::INT8), ("n", Type::NUMERIC), ("b", Type::BOOL), ("x", Type::TEXT)]
                .map(|(name, kind)| Column { name: name.to_owned(), kind });
        let row = [Some("7"), Some("12.30"), Some("t"), None];
        let values = Value::Object(values_of(&columns, &row));
        assert_eq!(values, serde_json::json!({ "n": 7, "n_2": "12.30", "b": true, "x": null }));
    }
}

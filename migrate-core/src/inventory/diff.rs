//! In what two inventories differ, object by object.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use serde_json::{Map, Value};

use super::{
    Inventory,
    object::{Object, POSITION},
};

/// An object that is not as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub kind: String,
    pub name: String,
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Expected, and not there.
    Missing,
    /// There, and not expected.
    Extra,
    Changed(Vec<Attribute>),
}

/// One thing about an object, before and after; nothing means as by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    pub name: String,
    pub from: Option<Value>,
    pub to: Option<Value>,
}

type Key<'a> = (&'a str, &'a str);

/// What is not as expected, in the order of kinds and names. Of an object that lacks or is too
/// many, its own parts (a table's columns, a comment) aren't named beside it.
pub fn diff(expected: &Inventory, found: &Inventory) -> Vec<Difference> {
    let before = by_key(expected);
    let after = by_key(found);
    let only = |one: &BTreeMap<Key<'_>, &Object>, other: &BTreeMap<Key<'_>, &Object>| {
        one.iter()
            .filter(|(key, _)| !other.contains_key(*key))
            .map(|(_, object)| (*object).clone())
            .collect::<Vec<_>>()
    };
    let mut differences = whole(&only(&before, &after), &Change::Missing);
    differences.extend(whole(&only(&after, &before), &Change::Extra));
    let mut moved = moved_columns(expected, found);
    for (key, from) in &before {
        let Some(to) = after.get(key) else { continue };
        let mut attributes = Vec::new();
        compare(None, &from.definition, &to.definition, &mut attributes);
        attributes.extend(moved.remove(from.name.as_str()).filter(|_| is_table(from)));
        if !attributes.is_empty() {
            differences.push(Difference {
                kind: from.kind.clone(),
                name: from.name.clone(),
                change: Change::Changed(attributes),
            });
        }
    }
    differences.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    differences
}

fn by_key(inventory: &Inventory) -> BTreeMap<Key<'_>, &Object> {
    inventory.objects().iter().map(|it| ((it.kind.as_str(), it.name.as_str()), it)).collect()
}

fn is_table(object: &Object) -> bool {
    matches!(object.kind.as_str(), "table" | "foreign table")
}

/// Objects as a whole, but for those whose owner is among them.
fn whole(objects: &[Object], change: &Change) -> Vec<Difference> {
    let names: BTreeSet<&str> = objects.iter().map(|it| it.name.as_str()).collect();
    objects
        .iter()
        .filter(|it| it.owner().is_none_or(|owner| !names.contains(owner)))
        .map(|it| Difference {
            kind: it.kind.clone(),
            name: it.name.clone(),
            change: change.clone(),
        })
        .collect()
}

/// Tables of which the columns that both have stand in another order.
fn moved_columns<'a>(expected: &'a Inventory, found: &'a Inventory) -> HashMap<&'a str, Attribute> {
    let (before, after) = (columns(expected), columns(found));
    let mut moved = HashMap::new();
    for (table, columns) in before {
        let Some(others) = after.get(table) else { continue };
        let (from, to) = (common(&columns, others), common(others, &columns));
        if from != to {
            let list = |names: Vec<&str>| Some(Value::from(names.join(", ")));
            let name = "order of columns".to_owned();
            moved.insert(table, Attribute { name, from: list(from), to: list(to) });
        }
    }
    moved
}

/// The columns of each table in their order.
fn columns(inventory: &Inventory) -> HashMap<&str, Vec<&str>> {
    let mut tables: HashMap<&str, Vec<(u64, &str)>> = HashMap::new();
    for object in inventory.objects().iter().filter(|it| it.kind == "column") {
        if let (Some(table), Some(position)) = (object.owner(), object.position()) {
            let column = object.name.strip_prefix(table).unwrap_or(&object.name);
            let column = column.strip_prefix('.').unwrap_or(column);
            tables.entry(table).or_default().push((position, column));
        }
    }
    tables
        .into_iter()
        .map(|(table, mut columns)| {
            columns.sort_unstable();
            (table, columns.into_iter().map(|(_, column)| column).collect())
        })
        .collect()
}

fn common<'a>(columns: &[&'a str], others: &[&str]) -> Vec<&'a str> {
    let others: BTreeSet<&str> = others.iter().copied().collect();
    columns.iter().copied().filter(|it| others.contains(it)).collect()
}

/// Adds what differs; an object within is compared part by part.
fn compare(
    within: Option<&str>,
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    into: &mut Vec<Attribute>,
) {
    let keys: BTreeSet<&String> =
        from.keys().chain(to.keys()).filter(|it| *it != POSITION).collect();
    for key in keys {
        let name = match within {
            None => key.replace('_', " "),
            // A name of somebody's choice: a grantee, a constraint.
            Some(outer) => format!("{outer} of {key}"),
        };
        match (from.get(key), to.get(key)) {
            (from, to) if from == to => (),
            (Some(Value::Object(from)), Some(Value::Object(to))) => {
                compare(Some(&name), from, to, into);
            }
            (from, to) => into.push(Attribute { name, from: from.cloned(), to: to.cloned() }),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.kind, self.name, self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Missing => f.write_str("is missing"),
            Change::Extra => f.write_str("is not expected"),
            Change::Changed(attributes) => {
                f.write_str("changed: ")?;
                for (index, attribute) in attributes.iter().enumerate() {
                    let gap = if index == 0 { "" } else { "; " };
                    write!(f, "{gap}{attribute}")?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (&self.from, &self.to) {
            (Some(Value::Array(from)), Some(Value::Array(to))) => write_lists(f, name, from, to),
            (Some(Value::String(from)), Some(Value::String(to)))
                if from.contains('\n') || to.contains('\n') =>
            {
                write_texts(f, name, from, to)
            }
            (from, to) => write!(f, "{name} {} → {}", said(from.as_ref()), said(to.as_ref())),
        }
    }
}

/// Only what lacks and what is new: a list of labels or privileges may be long.
fn write_lists(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    from: &[Value],
    to: &[Value],
) -> fmt::Result {
    let only = |one: &[Value], other: &[Value]| -> Vec<String> {
        one.iter().filter(|it| !other.contains(it)).map(|it| said(Some(it))).collect()
    };
    let (lost, gained) = (only(from, to), only(to, from));
    match (lost.is_empty(), gained.is_empty()) {
        (true, true) => write!(f, "{name} are in another order"),
        (false, true) => write!(f, "{name} without {}", lost.join(", ")),
        (true, false) => write!(f, "{name} with {}", gained.join(", ")),
        (false, false) => {
            write!(f, "{name} without {}, with {}", lost.join(", "), gained.join(", "))
        }
    }
}

/// The first line of a body that differs; both in full are in the inventories.
fn write_texts(f: &mut fmt::Formatter<'_>, name: &str, from: &str, to: &str) -> fmt::Result {
    let (mut before, mut after) = (from.lines(), to.lines());
    for number in 1.. {
        let (left, right) = (before.next(), after.next());
        if left != right {
            let line =
                |it: Option<&str>| it.map_or("the end".to_owned(), |it| format!("`{}`", it.trim()));
            return write!(f, "{name}, line {number}: {} → {}", line(left), line(right));
        }
        if left.is_none() {
            break;
        }
    }
    write!(f, "{name} in its line ends")
}

fn said(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::Array(items)) => {
            items.iter().map(|it| said(Some(it))).collect::<Vec<_>>().join(", ")
        }
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inventory(objects: &[Value]) -> Inventory {
        let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
        Inventory::parse(lines.join("\n")).unwrap()
    }

    fn object(kind: &str, name: &str, definition: &Value) -> Value {
        json!({"kind": kind, "name": name, "definition": definition})
    }

    fn column(name: &str, position: u64, kind: &str) -> Value {
        let definition = json!({"table": "s.t", "position": position, "type": kind});
        object("column", &format!("s.t.{name}"), &definition)
    }

    #[track_caller]
    fn check(expected: &[Value], found: &[Value], said: &[&str]) {
        let differences = diff(&inventory(expected), &inventory(found));
        assert_eq!(differences.iter().map(ToString::to_string).collect::<Vec<_>>(), said);
    }

    #[test]
    fn an_attribute_that_changed_is_named_with_both_values() {
        check(
            &[column("a", 1, "integer")],
            &[column("a", 1, "bigint")],
            &["column s.t.a changed: type `integer` → `bigint`"],
        );
        let granted = |all: &Value| object("privileges", "table s.t", &json!({"granted": all}));
        check(
            &[granted(&json!({"app": "select", "web": "select"}))],
            &[granted(&json!({"app": "insert, select"}))],
            &["privileges table s.t changed: granted of app `select` → `insert, select`; \
               granted of web `select` → none"],
        );
    }

    #[test]
    fn a_column_more_or_less_does_not_move_the_others() {
        let three = [column("a", 1, "x"), column("b", 2, "x"), column("c", 3, "x")];
        let two = [column("a", 1, "x"), column("c", 2, "x")];
        check(&three, &two, &["column s.t.b is missing"]);
        check(&two, &three, &["column s.t.b is not expected"]);
    }

    #[test]
    fn another_order_of_columns_is_said_of_the_table() {
        let table = object("table", "s.t", &json!({}));
        check(
            &[table.clone(), column("a", 1, "x"), column("b", 2, "x")],
            &[table, column("b", 1, "x"), column("a", 2, "x")],
            &["table s.t changed: order of columns `a, b` → `b, a`"],
        );
    }

    #[test]
    fn the_parts_of_what_lacks_are_not_named_beside_it() {
        let all = [
            object("table", "s.t", &json!({})),
            column("a", 1, "x"),
            object("comment", "table column s.t.a", &json!({"of": "s.t.a"})),
            object("index", "s.i", &json!({"table": "s.t"})),
        ];
        check(&all, &[], &["table s.t is missing"]);
        check(&all, &all[..3], &["index s.i is missing"]);
    }

    #[test]
    fn of_a_long_text_only_the_line_that_differs_is_said() {
        let body = |text| object("function", "f()", &json!({"definition": text}));
        check(
            &[body("begin\n  return 1;\nend")],
            &[body("begin\n  return 2;\nend")],
            &["function f() changed: definition, line 2: `return 1;` → `return 2;`"],
        );
    }

    #[test]
    fn of_a_list_only_what_differs_is_said() {
        let labels = |list: &Value| object("enum", "e", &json!({"labels": list}));
        check(
            &[labels(&json!(["a", "b"]))],
            &[labels(&json!(["a", "c", "b"]))],
            &["enum e changed: labels with `c`"],
        );
        check(
            &[labels(&json!(["a", "b"]))],
            &[labels(&json!(["b", "a"]))],
            &["enum e changed: labels are in another order"],
        );
    }
}

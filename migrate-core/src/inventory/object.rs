//! One object of a schema: what it is, what it is called, and all that makes it so.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// In PostgreSQL's words: `table`, `column`, `materialized view`.
    pub kind: String,
    /// With its schema, quoted where SQL needs it: `public.orders.total`.
    pub name: String,
    /// What is as by default isn't there.
    pub definition: Map<String, Value>,
}

impl Object {
    /// The object without which it could not be: of a column its table, of a comment what it is on,
    /// of a serial column's sequence that column.
    pub(super) fn owner(&self) -> Option<&str> {
        let text = |key| self.definition.get(key).and_then(Value::as_str);
        text("table").or_else(|| text("of")).or_else(|| text("owned_by"))
    }

    /// Where a column stands among those of its table.
    pub(super) fn position(&self) -> Option<u64> {
        self.definition.get(POSITION).and_then(Value::as_u64)
    }
}

/// Of a column: compared by order, not by number, or one more would move all behind it.
pub(super) const POSITION: &str = "position";

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

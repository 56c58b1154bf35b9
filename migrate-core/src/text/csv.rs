//! Listings as CSV.

use serde_json::{Map, Value};

use crate::record::Line;

/// A listing as CSV; an optional field that one row has is a column of all.
pub(crate) fn csv(rows: &[Line]) -> Vec<u8> {
    let rows: Vec<Map<String, Value>> = rows
        .iter()
        .filter_map(|line| match serde_json::to_value(line) {
            Ok(Value::Object(fields)) => Some(fields),
            _ => None,
        })
        .collect();
    let mut head: Vec<&String> = Vec::new();
    for field in rows.iter().flat_map(Map::keys) {
        if !head.contains(&field) {
            head.push(field);
        }
    }
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = writer.write_record(&head);
    for row in &rows {
        let _ = writer.write_record(head.iter().map(|&field| match row.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }));
    }
    writer.into_inner().unwrap_or_default()
}

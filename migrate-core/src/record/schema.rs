//! The JSON Schema of records: what `TOOL schema` prints.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Line, VERSION};

/// The schema of what one tool prints; `nouns` are the parts of the types in front of the dot.
///
/// A line of another type or without a field that is always there is invalid. Further fields are
/// valid, because a later version may add some.
pub fn of_tool(tool: &str, nouns: &[&str]) -> Value {
    build(&format!("A line of {tool}"), json!({ "const": tool }), |noun| nouns.contains(&noun))
}

/// The schema of what all tools print.
pub fn of_all() -> Value {
    let tool = json!({ "type": "string", "pattern": "^migrate-[a-z]+$" });
    build("A line of any of the migrate tools", tool, |_| true)
}

fn build(title: &str, tool: Value, wanted: impl Fn(&str) -> bool) -> Value {
    let mut schema = Value::from(schemars::schema_for!(Line));
    schema["title"] = title.into();
    schema["properties"]["v"] = json!({ "const": VERSION });
    schema["properties"]["tool"] = tool;
    let noun = |it: &Value| -> Option<String> {
        Some(it["properties"]["type"]["const"].as_str()?.split('.').next()?.to_owned())
    };
    if let Some(records) = schema["oneOf"].as_array_mut() {
        records.retain(|it| noun(it).is_some_and(|it| wanted(&it)));
    }
    drop_unused(&mut schema);
    schema
}

/// Keeps the definitions that are referred to, directly or by one that is kept.
fn drop_unused(schema: &mut Value) {
    let Some(Value::Object(definitions)) =
        schema.as_object_mut().and_then(|it| it.shift_remove("$defs"))
    else {
        return;
    };
    let mut used = BTreeSet::new();
    references(schema, &definitions, &mut used);
    let kept: Map<String, Value> =
        definitions.into_iter().filter(|(name, _)| used.contains(name)).collect();
    schema["$defs"] = Value::Object(kept);
}

fn references(value: &Value, definitions: &Map<String, Value>, used: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            if let Some(name) = name.and_then(|it| it.strip_prefix("#/$defs/"))
                && used.insert(name.to_owned())
                && let Some(definition) = definitions.get(name)
            {
                references(definition, definitions, used);
            }
            fields.values().for_each(|it| references(it, definitions, used));
        }
        Value::Array(values) => values.iter().for_each(|it| references(it, definitions, used)),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_has_its_own_records_and_what_they_are_made_of() {
        let schema = of_tool("migrate-x", &["lock"]);
        let types: Vec<&str> = schema["oneOf"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|it| it["properties"]["type"]["const"].as_str())
            .collect();
        assert_eq!(types[..2], ["lock", "lock.acquired"]);
        assert!(types.iter().all(|it| it.starts_with("lock")), "{types:?}");
        let definitions = schema["$defs"].as_object().unwrap();
        assert!(definitions.contains_key("Holder"), "a part of a part");
        assert!(!definitions.contains_key("ApplyStarted"));
    }
}

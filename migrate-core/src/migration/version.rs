//! Versions of migrations: numbers with dots, compared number by number.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `009`, `1.2.3`, `20261122093000`: shown as written, and `9` is the same version as `009`.
#[derive(Debug, Clone)]
pub struct Version(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a version: digits are expected, with dots between them", .0.escape_debug())]
pub struct NotAVersion(String);

impl Version {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The numbers without leading zeros. They may be longer than any integer type.
    fn numbers(&self) -> impl Iterator<Item = &[u8]> {
        self.0.as_bytes().split(|&b| b == b'.').map(|number| {
            let zeros = number.iter().take_while(|&&b| b == b'0').count();
            &number[zeros..]
        })
    }
}

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if text.split('.').all(is_number) {
            Ok(Version(text.to_owned()))
        } else {
            Err(NotAVersion(text.to_owned()))
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let mut theirs = other.numbers();
        for ours in self.numbers() {
            let Some(theirs) = theirs.next() else { return Ordering::Greater };
            // Without leading zeros the longer number is the greater one.
            let order = ours.len().cmp(&theirs.len()).then_with(|| ours.cmp(theirs));
            if order.is_ne() {
                return order;
            }
        }
        if theirs.next().is_some() { Ordering::Less } else { Ordering::Equal }
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.numbers().for_each(|number| number.hash(state));
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Version {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)*$" })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        let huge = format!("1{}", "0".repeat(40));
        let ascending =
            ["0", "0.0", "1", "1.2", "1.2.0", "1.2.1", "1.10", "9", "10", "20261122093000", &huge];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
            assert!(version(pair[1]) > version(pair[0]), "{pair:?}");
        }
    }

    #[test]
    fn leading_zeros_do_not_make_another_version() {
        for (a, b) in [("9", "009"), ("0", "000"), ("1.02", "01.2")] {
            assert_eq!(version(a), version(b));
            assert!(HashSet::from([version(a)]).contains(&version(b)), "{a} {b}");
        }
        assert_eq!(version("009").to_string(), "009");
    }

    #[test]
    fn other_texts_are_no_versions() {
        for text in ["", ".", "1.", ".1", "1..2", "v1", "1a", "-1", "1_2", " 1", "١"] {
            assert_eq!(text.parse::<Version>(), Err(NotAVersion(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn records_carry_versions_as_they_were_written() {
        assert_eq!(serde_json::to_string(&version("009")).unwrap(), "\"009\"");
        assert_eq!(serde_json::from_str::<Version>("\"1.2\"").unwrap(), version("1.2"));
        assert!(serde_json::from_str::<Version>("\"x\"").is_err());
    }
}

//! How dangerous a migration is, in the words of its author.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    Low,
    Medium,
    High,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a risk: expected low, medium or high", .0.escape_debug())]
pub struct NotARisk(String);

impl Risk {
    pub fn name(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Risk {
    type Err = NotARisk;

    fn from_str(text: &str) -> Result<Self, NotARisk> {
        let all = [Risk::Low, Risk::Medium, Risk::High];
        let found = all.into_iter().find(|risk| risk.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| NotARisk(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn risks_are_ordered_and_read_as_they_are_shown() {
        assert!(Risk::Low < Risk::Medium && Risk::Medium < Risk::High);
        for risk in [Risk::Low, Risk::Medium, Risk::High] {
            assert_eq!(risk.to_string().parse(), Ok(risk));
            assert_eq!(serde_json::to_string(&risk).unwrap(), format!("\"{risk}\""));
        }
        assert!("higher".parse::<Risk>().is_err());
    }
}

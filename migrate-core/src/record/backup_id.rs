//! The names of backups: the second they were begun, and six digits that tell two of one second apart.

use std::{borrow::Cow, fmt, str::FromStr};

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// `20261124T181522Z-3fa94c`: sorts by time, and is safe in a file name, a URL and a shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not the id of a backup, such as 20261124T181522Z-3fa94c", .0.escape_debug())]
pub struct NotABackupId(String);

impl BackupId {
    /// Made of the time and of `distinct`, of which 24 bits are used.
    pub fn new(at: DateTime<Utc>, distinct: u32) -> BackupId {
        BackupId(format!("{}-{:06x}", at.format("%Y%m%dT%H%M%SZ"), distinct & 0xff_ffff))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BackupId {
    type Err = NotABackupId;

    fn from_str(text: &str) -> Result<Self, NotABackupId> {
        // `0` stands for a digit, `f` for a hexadecimal one; the rest for itself.
        const SHAPE: &[u8] = b"00000000T000000Z-ffffff";
        let fits = |(shape, byte): (&u8, u8)| match shape {
            b'0' => byte.is_ascii_digit(),
            b'f' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            other => *other == byte,
        };
        if text.len() == SHAPE.len() && SHAPE.iter().zip(text.bytes()).all(fits) {
            Ok(BackupId(text.to_owned()))
        } else {
            Err(NotABackupId(text.to_owned()))
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for BackupId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for BackupId {
    fn schema_name() -> Cow<'static, str> {
        "BackupId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_time_and_reads_back() {
        let at = "2026-11-24T18:15:22.987Z".parse().unwrap();
        let id = BackupId::new(at, 0xff3f_a94c);
        assert_eq!(id.as_str(), "20261124T181522Z-3fa94c");
        assert_eq!(id.as_str().parse(), Ok(id));
    }

    #[test]
    fn nothing_that_leads_elsewhere_is_an_id() {
        for bad in [
            "",
            "..",
            "../../etc",
            "20261124T181522Z-3FA94C",
            "20261124T181522Z-3fa94",
            "20261124T181522Z-3fa94c/",
            " 20261124T181522Z-3fa94c",
            "2026112éT181522Z-3fa94c",
            ".20261124T181522Z-3fa94c.partial",
        ] {
            assert!(bad.parse::<BackupId>().is_err(), "{bad}");
        }
    }
}

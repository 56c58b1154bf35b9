//! The local file of anchors: the head of the audit log after each run, where nobody who can change
//! the database can change it too.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{connect::session::Facts, record::AuditHead};

/// A line of the file; several ledgers may share one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    pub at: DateTime<Utc>,
    pub system_identifier: String,
    pub database: String,
    pub ledger_schema: String,
    pub id: i64,
    pub hash: String,
}

impl Kept {
    /// Whether it is of this very ledger.
    pub fn is_of(&self, facts: &Facts, schema: &str) -> bool {
        self.system_identifier == facts.system_identifier
            && self.database == facts.database
            && self.ledger_schema == schema
    }
}

/// Appends a head, in one write that is on the disk afterwards. What was done is done: where the
/// file cannot be written, that is said and nothing more.
pub fn keep(path: &Path, at: DateTime<Utc>, facts: &Facts, schema: &str, head: &AuditHead) {
    let kept = Kept {
        at,
        system_identifier: facts.system_identifier.clone(),
        database: facts.database.clone(),
        ledger_schema: schema.to_owned(),
        id: head.id,
        hash: head.hash.clone(),
    };
    let mut line = serde_json::to_string(&kept).expect("texts and numbers");
    line.push('\n');
    if let Err(err) = append(path, line.as_bytes()) {
        log::warn!("the head of the audit log was not kept in {}: {err}", path.display());
    }
}

fn append(path: &Path, line: &[u8]) -> std::io::Result<()> {
    let made = !path.exists();
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.write_all(line)?;
    file.sync_all()?;
    if made {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

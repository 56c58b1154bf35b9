//! A backup in a store, written by hand: as the layout in docs/architecture.md says, without a database.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What a backup in the store of a test has in it.
#[derive(Debug, Clone)]
pub struct Stored {
    pub id: String,
    pub created_at: String,
    pub database: String,
    pub system_identifier: String,
    pub files: Vec<(String, Vec<u8>)>,
}

impl Stored {
    /// A small backup of the database `shop`; `at` is a time such as `2026-11-24T10:00:00`.
    pub fn at(at: &str) -> Stored {
        let digits: String = at.chars().filter(|it| !"-:".contains(*it)).collect();
        let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
        Stored {
            id: format!("{digits}Z-{}", &sha256(at.as_bytes())[..6]),
            created_at: format!("{at}Z"),
            database: "shop".to_owned(),
            system_identifier: "7000000000000000001".to_owned(),
            files: vec![
                file("toc.dat", b"PGDMP table of contents"),
                file("3001.dat.gz", &[7; 5000]),
                file("3002.dat.gz", b""),
                file("blobs.toc", b"1 blob_1.dat\n"),
            ],
        }
    }

    pub fn of(mut self, database: &str) -> Stored {
        self.database = database.to_owned();
        self
    }

    pub fn manifest(&self) -> Value {
        let bytes: usize = self.files.iter().map(|(_, it)| it.len()).sum();
        let files: Vec<Value> = self
            .files
            .iter()
            .map(|(name, it)| {
                json!({ "path": format!("dump/{name}"), "bytes": it.len(), "sha256": sha256(it) })
            })
            .collect();
        json!({
            "format": 1,
            "backup_id": self.id,
            "created_at": self.created_at,
            "database": self.database,
            "system_identifier": self.system_identifier,
            "server_version": "15.20",
            "server_version_num": 150_020,
            "bytes": bytes,
            "rows": 42,
            "table_count": 1,
            "migration_head": { "version": "009", "checksum": "sha256:0" },
            "made": {
                "tool_version": "0.1.0",
                "pg_dump": { "path": "/usr/bin/pg_dump", "version": "15.20" },
                "user": "ops", "host": "db1", "role": "owner", "label": null,
                "compression": "gzip:6", "audit_head": null, "timeline": 1, "lsn": "0/1",
            },
            "database_facts": {
                "owner": "owner", "encoding": "UTF8", "collate": "C", "ctype": "C",
                "locale_provider": "libc", "locale": null, "icu_rules": null,
                "collation_version": null, "connection_limit": -1, "tablespace": "pg_default",
                "comment": null, "acl": null, "settings": {}, "role_settings": {},
                "collation_versions": {}, "bytes": 8_000_000,
            },
            "tables": [{
                "schema": "public", "name": "users", "kind": "table", "carried": true,
                "bytes": 8192, "rows": 42,
            }],
            "sequences": [],
            "large_objects": 0,
            "extensions": [],
            "roles": ["owner"],
            "tablespaces": [],
            "subscriptions": [],
            "warnings": [],
            "writes": null,
            "files": files,
        })
    }

    /// Writes it into the store, which is made where it lacks. Returns the backup's folder.
    pub fn write(&self, store: &Path) -> PathBuf {
        let folder = store.join(&self.id);
        fs::create_dir_all(folder.join("dump")).unwrap();
        fs::set_permissions(store, fs::Permissions::from_mode(0o700)).unwrap();
        for (name, bytes) in &self.files {
            fs::write(folder.join("dump").join(name), bytes).unwrap();
        }
        write_manifest(&folder, &self.manifest());
        folder
    }
}

/// Writes a manifest, and the hash that goes with it.
pub fn write_manifest(folder: &Path, manifest: &Value) {
    let text = serde_json::to_string_pretty(manifest).unwrap() + "\n";
    fs::write(folder.join("manifest.json"), &text).unwrap();
    let hash = format!("{}  manifest.json\n", sha256(text.as_bytes()));
    fs::write(folder.join("manifest.json.sha256"), hash).unwrap();
}

/// In hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect()
}

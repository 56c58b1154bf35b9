//! Stand-ins for pg_dump and the like, which do what a test wants and tell how they were called.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use migrate_core::server::programs::{Required, find};

use crate::World;

impl World {
    /// From now on the tools find programs in a folder of the test's own, where `name` runs `script`;
    /// the others are the real ones.
    pub fn stand_in(self, name: &str, script: &str) -> World {
        let real = find(Required::Client, None).unwrap();
        let folder = self.path("programs");
        fs::create_dir_all(&folder).unwrap();
        for other in ["pg_dump", "pg_restore", "psql"] {
            let link = folder.join(other);
            if other != name && !link.exists() {
                std::os::unix::fs::symlink(real.path(other), link).unwrap();
            }
        }
        let path = folder.join(name);
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{name} (PostgreSQL) {}'; exit; fi\n{script}\n",
            real.version
        );
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let servers = find(Required::Server, None).unwrap().bin_dir;
        let folders = std::env::join_paths([folder, servers]).unwrap();
        self.env("MIGRATE_PG_BIN", folders.to_str().unwrap())
    }

    /// The real program, for a stand-in that goes on to it.
    pub fn real(name: &str) -> PathBuf {
        find(Required::Client, None).unwrap().path(name)
    }
}

//! The source tree, for tests of what the files themselves promise.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder with the workspace's Cargo.toml.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// All files of ours that end in `.extension`, in order.
pub fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(Path::new(ROOT), extension, &mut found);
    found.sort();
    found
}

/// A file of ours by its path from the root.
pub fn read(path: &str) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.') || name == "target";
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() && !hidden {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
}

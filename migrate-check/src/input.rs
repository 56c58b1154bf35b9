//! Files that a user names, `-` for stdin: read to their end, but not without one.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use migrate_core::error::{Error, Result};

/// No schema and no file of queries is longer; `/dev/zero` is.
const LONGEST: u64 = 256 << 20;

pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let read_error = |source| Error::ReadFile { path: path.to_owned(), source };
    if path == Path::new("-") {
        return take(io::stdin().lock(), path);
    }
    take(File::open(path).map_err(read_error)?, path)
}

pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|err| {
        let at = err.utf8_error().valid_up_to();
        Error::usage(
            format!("{}: the text is not UTF-8 at byte {at}", path.display()),
            "save the file as UTF-8 text",
        )
    })
}

fn take(from: impl Read, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(LONGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::ReadFile { path: path.to_owned(), source })?;
    if bytes.len() as u64 > LONGEST {
        return Err(Error::usage(
            format!("{} is longer than {} MB", path.display(), LONGEST >> 20),
            "name the file itself",
        ));
    }
    Ok(bytes)
}

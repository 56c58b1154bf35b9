//! Approvals that were signed off-line, as `ssh-keygen -Y sign` makes them and `-Y verify` checks them.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    process,
};

/// What such a signature is for: one that was made for something else is none.
pub const NAMESPACE: &str = "migrate-plan";

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Who signed, as the file of allowed signers names the key.
    pub signer: String,
    /// Of the key.
    pub fingerprint: Option<String>,
}

/// Checks that `signature` is one of `plan_hash` and a line end, by an allowed signer: by `signer`
/// where one is named.
pub fn verify(
    plan_hash: &str,
    signature: &str,
    allowed_signers: &Path,
    signer: Option<&str>,
) -> Result<Signed> {
    if !allowed_signers.is_file() {
        return Err(Error::usage(
            format!("there is no file of allowed signers at {}", allowed_signers.display()),
            "`allowed_signers` in migrate.toml names it; a line is: NAME ssh-ed25519 KEY",
        ));
    }
    let file = Temporary::new(signature)?;
    let candidates = match signer {
        Some(signer) => vec![signer.to_owned()],
        None => principals(&file.path, allowed_signers)?,
    };
    let mut problem = None;
    for candidate in candidates {
        let mut command = process::command("ssh-keygen");
        command.args(["-Y", "verify", "-n", NAMESPACE, "-f"]).arg(allowed_signers);
        command.args(["-I", &candidate, "-s"]).arg(&file.path);
        match process::run_with_input(&mut command, format!("{plan_hash}\n").as_bytes()) {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                let fingerprint = said.split_whitespace().find(|it| it.starts_with("SHA256:"));
                let fingerprint = fingerprint.map(str::to_owned);
                return Ok(Signed { signer: candidate, fingerprint });
            }
            Err(err @ Error::Start { .. }) => return Err(err),
            Err(err) => problem = Some(err),
        }
    }
    log::debug!("ssh-keygen: {problem:?}");
    Err(Error::refused(
        "signature",
        format!(
            "this is no signature of plan {plan_hash} by {}",
            signer.map_or("any of the allowed signers".to_owned(), |it| format!("`{it}`"))
        ),
        format!("sign it with: echo {plan_hash} | ssh-keygen -Y sign -n {NAMESPACE} -f KEY > FILE"),
    ))
}

/// Whom the key of a signature belongs to.
fn principals(signature: &Path, allowed_signers: &Path) -> Result<Vec<String>> {
    let mut command = process::command("ssh-keygen");
    command.args(["-Y", "find-principals", "-f"]).arg(allowed_signers).arg("-s").arg(signature);
    match process::run(&mut command) {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok(text.lines().flat_map(|it| it.split(',')).map(str::to_owned).collect())
        }
        Err(err @ Error::Start { .. }) => Err(err),
        Err(_) => Ok(Vec::new()),
    }
}

/// ssh-keygen reads a signature from a file only.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn new(text: &str) -> Result<Temporary> {
        let name = format!("migrate-signature-{:016x}", fastrand::u64(..));
        let path = std::env::temp_dir().join(name);
        let mut options = OpenOptions::new();
        let made = options.write(true).create_new(true).mode(0o600).open(&path);
        let failed = |source| Error::WriteFile { path: path.clone(), source };
        made.and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)?;
        Ok(Temporary { path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

//! Migration files: names, versions, layouts, checksums, directives.

use std::time::Duration;

use risk::Risk;
use script::Script;
use version::Version;

pub mod batch;
pub(crate) mod checksum;
mod cut;
pub mod dir;
pub mod directive;
pub mod file;
mod header;
pub mod name;
pub mod risk;
pub mod script;
pub mod version;

/// A step of the history: one file, or a pair of them.
#[derive(Debug, Clone)]
pub struct Migration {
    pub version: Version,
    pub name: String,
    /// The file with the up script, named as in its folder.
    pub file: String,
    pub up: Script,
    pub down: Option<Script>,
    /// Over the whole file with the up script: `sha256:` and hex, line ends as LF, without BOM.
    pub checksum: String,
    /// Over the down script alone, in the same way.
    pub down_checksum: Option<String>,
    pub risk: Option<Risk>,
    pub estimate: Option<Duration>,
    pub requires: Vec<Version>,
    pub author: Option<String>,
}

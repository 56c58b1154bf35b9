//! Migration files: names, versions, layouts, checksums, directives.

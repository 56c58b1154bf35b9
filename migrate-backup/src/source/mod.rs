//! The database that is backed up, as it is in one snapshot: what it holds, and what is known of it.

pub(crate) mod count;
pub(crate) mod database;
pub(crate) mod holds;
pub(crate) mod snapshot;

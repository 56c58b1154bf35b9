//! `restore`: puts a backup in the place of the database, which is kept.

pub(crate) mod maintenance;

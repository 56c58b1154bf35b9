//! What the migrate tools share.

pub mod connect;
pub mod error;
pub mod exit;
pub mod migration;
pub mod process;
pub mod server;
pub mod sql;

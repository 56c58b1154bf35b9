//! What the migrate tools share.
//!
//! Read in this order: [`exit`] and [`record`] are what the outside world sees, [`ctx`] is what
//! every command receives, [`migration`], [`ledger`] and [`plan`] are the subject.
//!
//! Invariants:
//! * Nothing here knows a command-line flag of a single tool.
//! * [`plan`] does no input or output: what to do is decided there, done elsewhere.
//! * Only [`ctx`] writes to stdout, only [`process`] starts programs, only `Ctx::now` reads the clock.
//! * SQL of the ledger stands in `sql/`, schema-qualified, and runs under `session_settings.sql`.

pub mod anchor;
pub mod attached;
pub mod cli;
pub mod config;
pub mod connect;
pub mod ctx;
pub mod error;
pub mod exit;
pub mod fault;
pub mod gate;
pub mod input;
pub mod interrupt;
pub mod inventory;
pub mod ledger;
pub mod lint;
mod man;
pub mod migration;
pub mod plan;
pub mod process;
pub mod record;
pub mod scratch;
pub mod server;
pub mod sql;
pub mod text;

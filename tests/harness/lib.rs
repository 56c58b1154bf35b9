//! A throwaway PostgreSQL server, and the tools as a user runs them.

#![allow(clippy::disallowed_methods, reason = "tests start programs themselves")]
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod command_line;
mod end_state;
mod outcome;
mod own_server;
mod proxy;
mod server;
pub mod source;
pub mod stored;

mod world;

pub use outcome::Outcome;
pub use own_server::OwnServer;
pub use proxy::{Cut, Proxy};
pub use world::{Background, World};

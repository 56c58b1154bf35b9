//! PostgreSQL programs on this machine, and the private server of `embedded:DIR`.

pub mod account;
pub mod client;
mod cluster;
pub mod embedded;
mod folder;
mod postmaster;
pub mod programs;

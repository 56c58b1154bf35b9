//! SQL text: splitting it by psql's rules, and what kind of statement each one is.

pub mod alone;
pub mod check;
pub mod effects;
pub mod kind;
pub mod lexer;
pub mod lock_mode;
pub mod position;
pub mod secret;
mod setting;
pub mod split;
mod tag;
pub mod words;

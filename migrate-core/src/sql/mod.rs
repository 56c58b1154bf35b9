//! SQL text: splitting it by psql's rules, and what kind of statement each one is.

mod alone;
mod check;
mod kind;
mod lexer;
mod position;
mod setting;
mod split;
mod tag;
mod words;

pub use alone::{Alone, ReindexTarget};
pub use check::{Summary, check};
pub use kind::{Control, Kind, Savepoint};
pub use lexer::{Lexer, Token, TokenKind, Unterminated};
pub use position::{byte_of_character, excerpt, position_of};
pub use split::{Split, Statement, split};
pub use words::Name;

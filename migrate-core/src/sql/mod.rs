//! SQL text: splitting it by psql's rules, and what kind of statement each one is.

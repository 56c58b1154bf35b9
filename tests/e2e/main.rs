//! The tools as a user runs them, against a real server.

#![allow(clippy::disallowed_methods, reason = "tests start programs themselves")]

mod harness_works;

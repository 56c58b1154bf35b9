//! The tools as a user runs them, against a real server.

//! PostgreSQL programs on this machine, and the private server of `embedded:DIR`.

//! How to reach PostgreSQL: libpq's conventions, TLS, and the session set-up.

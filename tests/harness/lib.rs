//! A throwaway PostgreSQL server, and the tools as a user runs them.

-- What the ledger's statements run under, whatever the role, the database or a migration set.
set search_path = pg_catalog, pg_temp; set client_encoding = 'UTF8'; set timezone = 'UTC';
set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres'; set extra_float_digits = 1; set bytea_output = 'hex';
set row_security = off; set standard_conforming_strings = on; set default_transaction_isolation = 'read committed';
set default_transaction_read_only = off; set default_transaction_deferrable = off; set synchronous_commit = on;
set lock_timeout = '5s'; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;
set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 2;
set tcp_keepalives_count = 3

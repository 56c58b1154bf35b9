//! The tools as a user runs them, against a real server.

#![allow(clippy::disallowed_methods, reason = "tests start programs themselves")]
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod apply;
mod architecture;
mod batch;
mod batch_resume;
mod check_baseline;
mod check_damage;
mod check_faults;
mod check_health;
mod check_integrity;
mod check_list;
mod check_preflight;
mod check_run;
mod commit_outcome;
mod contention;
mod crash;
mod docs;
mod dry_run_copy;
mod dry_run_here;
mod errors;
mod failover;
mod harness_works;
mod histories;
mod impact_guard;
mod inventory;
mod journalled;
mod lint;
mod live_progress;
mod lock;
mod lock_budget;
mod lock_fence;
mod lock_run;
mod lock_standby;
mod lock_stress;
mod lost_server;
mod pipes;
mod plan_risk;
mod records;
mod refusals;
mod rehearse;
mod schema_check;
mod scratch;
mod session_state;
mod shop;
mod signals;
mod sql;
mod statement_locks;
mod traces;
mod usage;

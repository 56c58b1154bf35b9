//! Whether the plan as it is now was rehearsed and approved, by the audit log.

use migrate_core::record::{CheckStatus, timestamp};

use super::{Answer, Seen, evidence::Evidence};

pub(super) fn rehearsal(seen: &Seen) -> Answer {
    let required = seen.require.rehearsal == Some(true);
    let evidence = match pending(seen) {
        Ok(evidence) => evidence,
        Err(answer) => return answer,
    };
    match &evidence.rehearsal {
        Some(it) if it.passed => Answer::new(
            CheckStatus::Pass,
            format!("rehearsed at {} by {}", timestamp(&it.at), it.actor),
        ),
        Some(it) => {
            let message = format!("its rehearsal at {} did not go well", timestamp(&it.at));
            Answer::new(CheckStatus::Fail, message)
        }
        None => {
            let status = if required { CheckStatus::Fail } else { CheckStatus::Warn };
            Answer::new(status, "this plan was not rehearsed")
        }
    }
}

pub(super) fn approvals(seen: &Seen) -> Answer {
    let evidence = match pending(seen) {
        Ok(evidence) => evidence,
        Err(answer) => return answer,
    };
    let names: Vec<&str> = evidence.approvers.iter().map(String::as_str).collect();
    let have = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
    match seen.require.approvals.unwrap_or(0) as usize {
        0 => Answer::not_applicable(format!("none are required here; approved by {have}")),
        wanted if names.len() >= wanted => {
            Answer::new(CheckStatus::Pass, format!("approved by {have}"))
        }
        wanted => Answer::new(
            CheckStatus::Fail,
            format!("{} of {wanted}: approved by {have}", names.len()),
        ),
    }
}

/// The evidence of a plan that has steps; or the answer where there is none to ask about.
fn pending(seen: &Seen) -> Result<&Evidence, Answer> {
    let said = &seen.applied;
    match &said.plan {
        None => Err(Answer::unknown(
            said.refused.as_deref().or(said.missing.as_deref()).unwrap_or("there is no plan"),
        )),
        Some(plan) if plan.steps == 0 => Err(Answer::not_applicable("nothing is pending")),
        Some(_) => seen
            .evidence
            .as_ref()
            .ok_or_else(|| Answer::unknown("this role may not read the audit log")),
    }
}

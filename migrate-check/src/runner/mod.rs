//! Runs checks that are SQL: on one snapshot, on several sessions at once, told in a fixed order.

mod answer;
mod order;
pub(crate) mod snapshot;
mod task;
mod worker;

use std::{
    collections::VecDeque,
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use migrate_core::{
    error::{Error, Result},
    interrupt,
};

use crate::{definition::Definition, place::Sight, report::Report};
use order::InOrder;
use snapshot::Snapshot;
use task::Task;

/// How often a signal is looked for while the server works.
const LOOK: Duration = Duration::from_millis(100);

/// How much may be used for the answer.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// When the whole run ends, finished or not.
    pub(crate) deadline: Instant,
    /// As the user wrote it.
    pub(crate) timeout: Duration,
    pub(crate) jobs: usize,
    /// How many wrong rows to show of each object.
    pub(crate) show: u32,
    /// Which part of the rows to look for orphans in, in percent.
    pub(crate) sample: Option<f64>,
}

impl Limits {
    pub(crate) fn new(timeout: Duration, jobs: usize, show: u32) -> Limits {
        let deadline = Instant::now() + timeout;
        Limits { deadline, timeout, jobs, show, sample: None }
    }
}

/// Runs them all, and says each answer as soon as those before it are said.
pub(crate) fn run(
    definitions: &[&'static Definition],
    snapshot: &Snapshot,
    limits: &Limits,
    report: &mut Report<'_>,
) -> Result<()> {
    interrupt::cancels(Some(snapshot.workers[0].cancel()));
    let sight = Sight::of(&snapshot.workers[0])?;
    report.about(&snapshot.workers[0].facts().database);
    let mut in_order = InOrder::new(report.group(), definitions, limits);
    let mut tasks = Vec::new();
    for (index, definition) in definitions.iter().enumerate() {
        if let Some(need) = sight.lacks(&definition.needs) {
            in_order.skip(index, need);
        } else if definition.each.is_none() {
            in_order.expect(index, 1);
            tasks.push(Task::query(index, definition));
        } else {
            let planned = task::targets(index, definition, snapshot, limits)?;
            in_order.plan(index, planned, &mut tasks);
        }
    }
    interrupt::cancels(None);
    refuse_interrupted()?;
    // Cheap ones first, so that they are answered whatever becomes of the others.
    tasks.sort_by_key(|it| std::cmp::Reverse(it.bytes.map_or(i64::MAX, |it| it)));
    work(tasks, snapshot, limits, in_order, report)
}

fn work(
    tasks: Vec<Task>,
    snapshot: &Snapshot,
    limits: &Limits,
    mut in_order: InOrder<'_>,
    report: &mut Report<'_>,
) -> Result<()> {
    let queue = Mutex::new(VecDeque::from(tasks));
    let (sender, answers) = mpsc::channel();
    thread::scope(|scope| {
        for session in &snapshot.workers {
            let (queue, sender) = (&queue, sender.clone());
            scope.spawn(move || worker::work(session, snapshot, queue, limits, &sender));
        }
        drop(sender);
        in_order.say(report);
        loop {
            match answers.recv_timeout(LOOK) {
                Ok(Ok(answer)) => {
                    in_order.take(answer);
                    in_order.say(report);
                }
                Ok(Err(lost)) => {
                    stop(&queue, snapshot);
                    return Err(lost);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => (),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if let Err(interrupted) = refuse_interrupted() {
                stop(&queue, snapshot);
                return Err(interrupted);
            }
        }
    })
}

/// An error once a signal came.
pub(crate) fn refuse_interrupted() -> Result<()> {
    let state = "checks only read; those not told were not finished".to_owned();
    interrupt::received().map_or(Ok(()), |signal| Err(Error::Interrupted { signal, state }))
}

/// Takes the rest of the work away, and ends what is under way.
fn stop(queue: &Mutex<VecDeque<Task>>, snapshot: &Snapshot) {
    queue.lock().expect("never poisoned").clear();
    for session in &snapshot.workers {
        if let Err(err) = session.cancel().cancel_blocking() {
            log::warn!("cannot cancel a query: {err}");
        }
    }
}

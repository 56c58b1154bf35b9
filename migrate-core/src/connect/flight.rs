//! Messages that are sent before the answers to earlier ones are in, each statement accounted for.

use std::{
    collections::VecDeque,
    future::Future,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use super::session::Session;
use crate::error::PgError;

/// What the server said to one statement.
#[derive(Debug)]
pub struct Answer {
    /// Rows touched or returned.
    pub rows: u64,
    pub first_row: Option<SimpleQueryRow>,
}

/// Some statements of a message were done, and then one failed.
#[derive(Debug)]
pub struct Failed {
    pub done: Vec<Answer>,
    pub error: PgError,
}

/// Messages under way on one session, in order.
///
/// They leave when an answer is waited for: those that were sent without a wait between them go out
/// together. One that is dropped leaves no trace but what its messages do.
#[derive(Default)]
pub struct Flight {
    sent: VecDeque<Result<SimpleQueryStream, PgError>>,
}

impl Flight {
    /// How many messages have no answer yet.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Sends a message of one or more statements on `session`, the same each time, and does not wait.
    pub fn send(&mut self, session: &Session, sql: &str) {
        let sent = session.client().simple_query_raw(sql).now_or_never();
        self.sent.push_back(sent.expect("the driver queues a message without waiting"));
    }

    /// Waits for the answers to the oldest message; calls `tick` each second meanwhile.
    pub fn answers(
        &mut self,
        session: &Session,
        tick: &mut dyn FnMut(Duration),
    ) -> Result<Vec<Answer>, Failed> {
        let Some(sent) = self.sent.pop_front() else { return Ok(Vec::new()) };
        let mut done = Vec::new();
        let collected = match sent {
            Ok(stream) => session.wait(ticking(collect(stream, &mut done), tick)),
            Err(error) => Err(error),
        };
        match collected {
            Ok(()) => Ok(done),
            Err(error) => Err(Failed { done, error }),
        }
    }
}

async fn collect(stream: SimpleQueryStream, done: &mut Vec<Answer>) -> Result<(), PgError> {
    let mut stream = std::pin::pin!(stream);
    let mut first_row = None;
    while let Some(message) = stream.next().await {
        match message? {
            SimpleQueryMessage::Row(row) => {
                first_row.get_or_insert(row);
            }
            SimpleQueryMessage::CommandComplete(rows) => {
                done.push(Answer { rows, first_row: first_row.take() });
            }
            _ => (),
        }
    }
    Ok(())
}

/// The column of that name among the answers to a message.
pub fn said<'a>(answers: &'a [Answer], name: &str) -> Option<&'a str> {
    let mut rows = answers.iter().filter_map(|it| it.first_row.as_ref());
    rows.find_map(|it| it.try_get(name).ok().flatten())
}

/// Drives `work`, and calls `tick` with the time gone each second.
pub(crate) async fn ticking<T>(work: impl Future<Output = T>, tick: &mut dyn FnMut(Duration)) -> T {
    const SECOND: Duration = Duration::from_secs(1);
    let start = Instant::now();
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(SECOND, work.as_mut()).await {
            Ok(done) => return done,
            Err(_) => tick(start.elapsed()),
        }
    }
}

//! Messages that are sent before the answers to earlier ones are in, each statement accounted for.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
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

type Sent<'a> = Pin<Box<dyn Future<Output = Result<SimpleQueryStream, PgError>> + 'a>>;

/// Messages under way on a session, in order.
pub struct Flight<'a> {
    session: &'a Session,
    sent: VecDeque<Sent<'a>>,
}

impl<'a> Flight<'a> {
    pub fn new(session: &'a Session) -> Flight<'a> {
        Flight { session, sent: VecDeque::new() }
    }

    /// How many messages have no answer yet.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Sends a message of one or more statements, and does not wait.
    pub fn send(&mut self, sql: String) {
        let client = self.session.client();
        let mut sent: Sent<'a> = Box::pin(async move { client.simple_query_raw(&sql).await });
        // The first poll hands the message over; its order is the order of these polls.
        match sent.as_mut().now_or_never() {
            None => self.sent.push_back(sent),
            Some(done) => self.sent.push_back(Box::pin(async move { done })),
        }
    }

    /// Waits for the answers to the oldest message; calls `tick` each second meanwhile.
    pub fn answers(&mut self, tick: &mut dyn FnMut(Duration)) -> Result<Vec<Answer>, Failed> {
        let Some(sent) = self.sent.pop_front() else { return Ok(Vec::new()) };
        let mut done = Vec::new();
        match self.session.wait(ticking(collect(sent, &mut done), tick)) {
            Ok(()) => Ok(done),
            Err(error) => Err(Failed { done, error }),
        }
    }
}

async fn collect(sent: Sent<'_>, done: &mut Vec<Answer>) -> Result<(), PgError> {
    let stream = sent.await?;
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

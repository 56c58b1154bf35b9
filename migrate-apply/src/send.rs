//! Sends the statements of a script, several ahead of their answers, and accounts for each.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use migrate_core::{
    connect::{
        flight::{Failed, Flight},
        session::Session,
    },
    ctx::Ctx,
    error::{Error, PgError, Result, StatementError},
    record::{Record, StatementDone, Victim},
    sql::{kind::Kind, split::Statement},
};

use crate::{failure, guard::Guard, progress::Progress, run::Run, step::Step};

/// How many messages may be under way.
const AHEAD: usize = 8;
/// Statements of a kind that follow each other in such numbers are rows, and share messages.
const ALIKE: usize = 8;
const MESSAGE_BYTES: usize = 64 * 1024;
const MESSAGE_STATEMENTS: usize = 500;
const COPY_CHUNK_BYTES: usize = 64 * 1024;

/// Why a script did not run to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The server refused a statement, or the COMMIT.
    Refused(Box<StatementError>),
    /// The connection broke; COMMIT had not been sent.
    Lost(PgError),
    /// Others were blocked for too long.
    GaveWay(GaveWay),
    /// Something of ours.
    Other(Error),
}

/// For whom a statement was cancelled.
#[derive(Debug)]
pub(crate) struct GaveWay {
    pub(crate) victims: Vec<Victim>,
    pub(crate) statement: Option<u64>,
}

impl From<Error> for Stop {
    fn from(err: Error) -> Stop {
        Stop::Other(err)
    }
}

impl Stop {
    /// A query of ours that broke off with its connection is no error of its own.
    pub(crate) fn or_lost(self, session: &Session) -> Stop {
        match self {
            Stop::Other(Error::Database { source, .. }) if is_lost(session, &source) => {
                Stop::Lost(source)
            }
            stop => stop,
        }
    }
}

/// What has been done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) statements: u64,
    pub(crate) rows: u64,
    /// A statement took away what we had prepared on the server, or will.
    pub(crate) deallocated: bool,
}

/// Statements that go in one message; their text in the file is the message.
struct Batch {
    first_number: u64,
    statements: Vec<Statement>,
}

/// Runs all statements of `step`; the messages that are already under way belong to the caller, who
/// is asked to take their answers before the first of ours. Behind the last statement goes `last`,
/// whose answers are the caller's, too; it is held back where a statement may have taken away
/// what it needs.
pub(crate) fn run_script<'a>(
    run: &'a Run,
    flight: &mut Flight,
    step: &'a Step,
    answered: &mut dyn FnMut(&mut Flight) -> Result<(), Stop>,
    stopped: &dyn Fn() -> Option<Stop>,
    last: &str,
    ctx: &mut Ctx,
) -> Result<Totals, Stop> {
    let start = Instant::now();
    let mut sender = Sender {
        session: &run.session,
        guard: run.guard(),
        step,
        start,
        totals: Totals::default(),
        waiting: VecDeque::new(),
    };
    let mut batches = Batches::new(step);
    let mut settled = false;
    loop {
        let batch = batches.next()?;
        let ends = batch.is_none() && !sender.totals.deallocated;
        if ends {
            flight.send(&run.session, last);
        }
        let alone = batch.as_ref().is_none_or(|it| needs_copy(&it.statements[0]));
        while flight.len() > usize::from(ends) && (alone || flight.len() >= AHEAD) {
            if settled {
                sender.take_answers(flight, ctx)?;
            } else {
                answered(flight)?;
                settled = true;
            }
        }
        if let Some(stop) = stopped() {
            return Err(stop);
        }
        match batch {
            None => return Ok(sender.totals),
            Some(batch) if alone => sender.copy(&batch, ctx)?,
            Some(batch) => sender.send(batch, flight),
        }
    }
}

fn needs_copy(statement: &Statement) -> bool {
    matches!(statement.kind, Kind::CopyFromStdin | Kind::CopyToStdout)
}

struct Sender<'a> {
    session: &'a Session,
    guard: Option<&'a Guard>,
    step: &'a Step,
    start: Instant,
    totals: Totals,
    waiting: VecDeque<Batch>,
}

impl<'a> Sender<'a> {
    fn send(&mut self, batch: Batch, flight: &mut Flight) {
        let range =
            batch.statements[0].range.start..batch.statements[batch.statements.len() - 1].range.end;
        flight.send(self.session, &self.step.script.text[range]);
        self.totals.deallocated |= batch.statements.iter().any(|it| it.tag() == "DEALLOCATE");
        self.waiting.push_back(batch);
    }

    fn take_answers(&mut self, flight: &mut Flight, ctx: &mut Ctx) -> Result<(), Stop> {
        let Some(batch) = self.waiting.pop_front() else { return Ok(()) };
        // It was sent ahead, and began when the one before it ended.
        let began = Instant::now();
        let progress = self.progress(batch.first_number, &batch.statements[0]);
        let answers = flight.answers(self.session, &mut |elapsed| progress.tick(elapsed, ctx));
        drop(progress);
        let ms = began.elapsed().as_secs_f64() * 1000.0;
        match answers {
            Ok(answers) if answers.len() == batch.statements.len() => {
                let rows: Vec<u64> = answers.iter().map(|it| it.rows).collect();
                self.account(&batch, &rows, ms, ctx);
                Ok(())
            }
            Ok(answers) => {
                // A mismatch would mean that a statement went unaccounted for: better to stop.
                let statement = &batch.statements[answers.len().min(batch.statements.len() - 1)];
                let (line, column) = (statement.line, statement.column);
                Err(Error::Sql {
                    at: migrate_core::error::Location {
                        file: self.step.script.file.clone(),
                        line,
                        column,
                    },
                    message: format!(
                        "the server answered {} times to {} statements",
                        answers.len(),
                        batch.statements.len()
                    ),
                    hint: None,
                }
                .into())
            }
            Err(failed) => Err(self.refused(&batch, failed)),
        }
    }

    fn account(&mut self, batch: &Batch, rows: &[u64], ms: f64, ctx: &mut Ctx) {
        let last = batch.statements.len() - 1;
        let records =
            batch.statements.iter().zip(rows).enumerate().map(|(index, (statement, &rows))| {
                Record::StatementDone(StatementDone {
                    version: self.step.version.clone(),
                    statement: batch.first_number + index as u64,
                    line: statement.line,
                    command: statement.tag().to_owned(),
                    rows,
                    ms: (index == last).then_some((ms * 1000.0).round() / 1000.0),
                    impact: None,
                })
            });
        ctx.emit_together(records.collect());
        self.totals.statements += batch.statements.len() as u64;
        self.totals.rows += rows.iter().sum::<u64>();
    }

    fn refused(&self, batch: &Batch, Failed { done, error }: Failed) -> Stop {
        if is_lost(self.session, &error) {
            return Stop::Lost(error);
        }
        let sent_from = batch.statements[0].range.start;
        // A syntax error is found before anything of the message runs: then only the place tells.
        let position = failure::server_position(&self.step.script, sent_from, &error);
        let index = position
            .and_then(|byte| batch.statements.iter().position(|it| it.range.contains(&byte)))
            .unwrap_or(done.len())
            .min(batch.statements.len() - 1);
        Stop::Refused(Box::new(failure::of_statement(
            &self.step.script,
            &batch.statements[index],
            batch.first_number + index as u64,
            sent_from,
            &error,
        )))
    }

    /// COPY has a protocol of its own: sent blind, it would kill the connection.
    fn copy(&mut self, batch: &Batch, ctx: &mut Ctx) -> Result<(), Stop> {
        let statement = &batch.statements[0];
        let began = Instant::now();
        let progress = self.progress(batch.first_number, statement);
        let copied = one(self.session, &self.step.script, statement, &mut |elapsed| {
            progress.tick(elapsed, ctx)
        });
        drop(progress);
        let rows =
            copied.map_err(|error| self.refused(batch, Failed { done: Vec::new(), error }))?;
        self.account(batch, &[rows], began.elapsed().as_secs_f64() * 1000.0, ctx);
        Ok(())
    }

    fn progress(&self, number: u64, statement: &Statement) -> Progress {
        Progress::of(self.step, number, statement, self.start, self.guard)
    }
}

/// Whether the connection, and with it the transaction, is gone.
pub(crate) fn is_lost(session: &Session, error: &PgError) -> bool {
    let ends = ["57P01", "57P02", "57P03", "57P05", "25P03", "08006", "08003"];
    session.is_closed()
        || error.is_closed()
        || error.as_db_error().is_none()
        || error.code().is_some_and(|it| ends.contains(&it.code()))
}

/// The same, of a query of ours.
pub(crate) fn lost(session: &Session, error: &Error) -> bool {
    matches!(error, Error::Database { source, .. } if is_lost(session, source))
}

/// The statements of a script in the messages that they are sent in.
struct Batches<'a> {
    statements: Box<dyn Iterator<Item = Result<Statement>> + 'a>,
    text: &'a str,
    next_number: u64,
    held: Option<Statement>,
    alike: usize,
    last_tag: String,
}

impl<'a> Batches<'a> {
    fn new(step: &'a Step) -> Batches<'a> {
        let script = &step.script;
        Batches {
            statements: Box::new(script.statements()),
            text: &script.text,
            next_number: 1,
            held: None,
            alike: 0,
            last_tag: String::new(),
        }
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        let Some(first) = self.pull()? else { return Ok(None) };
        let mut batch = Batch { first_number: self.next_number, statements: vec![first] };
        while self.shares_messages(&batch.statements[0]) {
            let Some(next) = self.pull()? else { break };
            let last = &batch.statements[batch.statements.len() - 1];
            let together = next.range.end - batch.statements[0].range.start <= MESSAGE_BYTES
                && batch.statements.len() < MESSAGE_STATEMENTS
                && next.tag() == last.tag()
                && !next.kind.needs_own_message()
                // A `\restrict` line may stand between them, which is nothing for the server.
                && !self.text[last.range.end..next.range.start].contains('\\');
            if !together {
                self.unpull(next);
                break;
            }
            batch.statements.push(next);
        }
        self.next_number += batch.statements.len() as u64;
        Ok(Some(batch))
    }

    fn shares_messages(&self, statement: &Statement) -> bool {
        self.alike > ALIKE
            && ["INSERT", "UPDATE", "DELETE", "SELECT"].contains(&statement.tag())
            && !statement.kind.needs_own_message()
    }

    fn pull(&mut self) -> Result<Option<Statement>> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let Some(statement) = self.statements.next().transpose()? else { return Ok(None) };
        if statement.tag() == self.last_tag {
            self.alike += 1;
        } else {
            self.alike = 0;
            self.last_tag = statement.tag().to_owned();
        }
        Ok(Some(statement))
    }

    fn unpull(&mut self, statement: Statement) {
        self.held = Some(statement);
    }
}

/// Sends one statement by itself and returns its rows.
pub(crate) fn one(
    session: &Session,
    script: &migrate_core::migration::script::Script,
    statement: &Statement,
    tick: &mut dyn FnMut(Duration),
) -> Result<u64, PgError> {
    let sql = &script.text[statement.range.clone()];
    match (&statement.kind, statement.copy_data.clone()) {
        (Kind::CopyFromStdin, Some(data)) => {
            session.copy_in(sql, script.text[data].as_bytes().chunks(COPY_CHUNK_BYTES), tick)
        }
        (Kind::CopyToStdout, _) => session.copy_out(sql, tick),
        _ => {
            let mut flight = Flight::default();
            flight.send(session, sql);
            let answers = flight.answers(session, tick).map_err(|it| it.error)?;
            Ok(answers.iter().map(|it| it.rows).sum())
        }
    }
}

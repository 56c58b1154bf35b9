//! `schema`: is the schema still what the last migration left; reads only.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use migrate_core::{
    cli::{self, Output},
    connect::session::Session,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    interrupt,
    inventory::{self, Change, Difference, Digest, Inventory},
    ledger::{
        Ledger,
        inventories::{self, Recorded},
    },
    record::{Check, CheckReason, CheckStatus},
};

use tokio_postgres::error::SqlState;

use crate::{input, place::Place, report::Report, selection::Selection};

pub(crate) const HELP: &str = "\
Examples:
  migrate-check schema                        against what the last run left
  migrate-check schema dump > schema.jsonl    keep it beside the code
  migrate-check schema --expect schema.jsonl
  migrate-check schema --skip privileges,comment
  migrate-check schema | jq -r 'select(.status == \"fail\") | .message'

Where no run recorded a schema, or a later one left none, there is nothing to
compare with: the check is skipped, and the exit code is 0.

Exit codes: 0 no difference, or nothing recorded · 1 the schema is another one";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    /// Compare with this file from `schema dump`; `-` is stdin
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,

    #[command(flatten)]
    kinds: Selection,

    #[command(flatten)]
    limit: LimitArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print the schema: a line of JSON an object, in an order that stays
    Dump(LimitArgs),
    /// Print the JSON Schema of all records of this tool
    Records,
}

#[derive(clap::Args)]
struct LimitArgs {
    /// How long reading the schema may take
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = cli::duration)]
    timeout: Duration,
}

pub(crate) fn output(args: &Args) -> Output {
    match args.command {
        Some(Command::Dump(_) | Command::Records) => Output::Raw,
        None => Output::Report,
    }
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    match &args.command {
        Some(Command::Dump(limit)) => {
            let session = session(ctx)?;
            let inventory = Inventory::read(&session, Some(limit.timeout));
            let inventory = inventory.map_err(interrupted_or)?;
            ctx.print_text(inventory.text());
            Ok(Exit::Ok)
        }
        Some(Command::Records) => ctx.print_schema(),
        None => compare(args, ctx),
    }
}

fn compare(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    args.kinds.refuse_unknown(&inventory::KIND_NAMES)?;
    // Before there is a connection: a file that cannot be read is no reason to make one.
    let file = args.expect.as_deref().map(read_file).transpose()?;
    let session = session(ctx)?;
    let ledger = Ledger::new(&ctx.config.ledger_schema)?;
    let mut report = Report::new("schema", ctx);
    report.about(&session.facts().database);
    let expected = match file {
        Some(inventory) => Ok(Expected::File(inventory)),
        None => last_recorded(&session, &ledger)?,
    };
    let began = Instant::now();
    let answers = match expected {
        Ok(expected) => match answers(&expected, &args.kinds, &session, args.limit.timeout)
            .map_err(interrupted_or)
        {
            Err(err) if is(&err, &SqlState::QUERY_CANCELED) => {
                vec![not_finished(args.limit.timeout)]
            }
            answers => answers?,
        },
        Err(answer) => vec![answer],
    };
    for answer in answers {
        report.say(Check { ms: began.elapsed().as_millis() as u64, ..answer });
    }
    Ok(report.finish())
}

/// The same, against what the last run left, for a list of other checks.
pub(crate) fn drift(session: &Session, ledger: &Ledger, timeout: Duration) -> Result<Vec<Check>> {
    let expected = match last_recorded(session, ledger)? {
        Ok(expected) => expected,
        Err(answer) => return Ok(vec![answer]),
    };
    match answers(&expected, &Selection::default(), session, timeout).map_err(interrupted_or) {
        Err(err) if is(&err, &SqlState::QUERY_CANCELED) => Ok(vec![not_finished(timeout)]),
        answers => answers,
    }
}

/// What the schema is to be.
enum Expected {
    File(Inventory),
    Recorded(Recorded, Inventory),
}

fn read_file(path: &Path) -> Result<Inventory> {
    let text = input::read_text(path)?;
    Inventory::parse(text).map_err(|line| {
        Error::usage(
            format!("{}:{line}: this is no object of a schema", path.display()),
            "`migrate-check schema dump` writes such a file",
        )
    })
}

/// What the last run recorded; or the answer, where that says nothing of now.
fn last_recorded(session: &Session, ledger: &Ledger) -> Result<Result<Expected, Check>> {
    ledger.look(session)?;
    let last = match inventories::last(session, ledger) {
        Err(err) if is(&err, &SqlState::INSUFFICIENT_PRIVILEGE) => {
            return Ok(Err(skipped(
                CheckReason::Unknown,
                format!("role `{}` may not read the ledger", session.facts().role),
                "grant it select on the tables `_migration_…`, or compare with a file by `--expect`",
            )));
        }
        last => last?,
    };
    let Some(recorded) = last else {
        return Ok(Err(skipped(
            CheckReason::NotApplicable,
            "no run of migrate-apply has recorded a schema here".to_owned(),
            "`migrate-apply up` and `baseline` record it; or compare with a file by `--expect`",
        )));
    };
    if recorded.outdated {
        return Ok(Err(skipped(
            CheckReason::Unknown,
            format!(
                "migrations ran after run {}, the last one that recorded a schema, and did not end",
                recorded.run_id
            ),
            "the next `migrate-apply up` ends what was left and records the schema",
        )));
    }
    let inventory = recorded.inventory.clone().and_then(|it| Inventory::parse(it).ok());
    match inventory.filter(|it| it.digest().sha256 == recorded.sha256) {
        Some(inventory) => Ok(Ok(Expected::Recorded(recorded, inventory))),
        None => Ok(Err(Check {
            status: CheckStatus::Fail,
            ..answer(
                format!(
                    "the schema that run {} recorded is not what the audit log has the hash of",
                    recorded.run_id
                ),
                "somebody changed `_migration_inventories`: see `migrate-audit verify`",
            )
        })),
    }
}

fn answers(
    expected: &Expected,
    kinds: &Selection,
    session: &Session,
    timeout: Duration,
) -> Result<Vec<Check>> {
    let (inventory, from) = match expected {
        Expected::File(inventory) => (inventory, "the file".to_owned()),
        Expected::Recorded(recorded, inventory) => {
            let digest = Digest::read(session, Some(timeout))?;
            if digest.sha256 == recorded.sha256 {
                let run = format!("run {}", recorded.run_id);
                return Ok(vec![as_expected(digest.objects, &run)]);
            }
            (inventory, format!("run {}", recorded.run_id))
        }
    };
    let found = Inventory::read(session, Some(timeout))?;
    let differences = inventory::diff(inventory, &found);
    let picked: Vec<&Difference> = differences.iter().filter(|it| kinds.has(&it.kind)).collect();
    if picked.is_empty() && !differences.is_empty() {
        let message = "of the kinds that were asked for no object differs".to_owned();
        return Ok(vec![Check { hint: None, count: Some(0), ..answer(message, "") }]);
    }
    if picked.is_empty() {
        return Ok(vec![as_expected(found.objects().len() as i64, &from)]);
    }
    let mut answers: Vec<Check> = picked.into_iter().map(|it| differs(it, &from)).collect();
    answers.extend(other_server(expected, session));
    Ok(answers)
}

fn as_expected(objects: i64, from: &str) -> Check {
    Check {
        status: CheckStatus::Pass,
        count: Some(0),
        hint: None,
        ..answer(format!("all {objects} objects are as in {from}"), "")
    }
}

fn differs(difference: &Difference, from: &str) -> Check {
    let hint = match difference.change {
        Change::Missing => "make it again, or drop it by a migration",
        Change::Extra => "drop it, or make it by a migration",
        Change::Changed(_) => "change it back, or do the change by a migration",
    };
    Check {
        status: CheckStatus::Fail,
        object: Some(difference.name.clone()),
        count: Some(1),
        ..answer(
            format!("{} {}", difference.kind, difference.change),
            &format!("{hint}; expected is what {from} says"),
        )
    }
}

/// Another version prints some definitions in another way.
fn other_server(expected: &Expected, session: &Session) -> Option<Check> {
    let Expected::Recorded(recorded, _) = expected else { return None };
    let then = recorded.server_version_num / 10_000;
    let now = (session.facts().server_version_num / 10_000).cast_signed();
    (then != now).then(|| Check {
        status: CheckStatus::Warn,
        ..answer(
            format!("the schema was recorded on PostgreSQL {then}, and this is {now}"),
            "some of the differences may be in how the versions print a definition",
        )
    })
}

/// A signal cancels what is asked on it.
fn session(ctx: &Ctx) -> Result<Session> {
    let session = Place::find("schema", ctx)?.session(ctx)?;
    interrupt::cancels(Some(session.cancel()));
    Ok(session)
}

fn interrupted_or(err: Error) -> Error {
    match interrupt::received() {
        Some(signal) => Error::Interrupted { signal, state: "it only reads".to_owned() },
        None => err,
    }
}

fn is(err: &Error, code: &SqlState) -> bool {
    matches!(err, Error::Database { source, .. } if source.code() == Some(code))
}

fn not_finished(timeout: Duration) -> Check {
    let limit = format!("{timeout:?}");
    Check {
        status: CheckStatus::Fail,
        reason: Some(CheckReason::NotFinished),
        ..answer(format!("the schema could not be read in {limit}"), "give it more by `--timeout`")
    }
}

fn skipped(reason: CheckReason, message: String, hint: &str) -> Check {
    Check { status: CheckStatus::Skip, reason: Some(reason), ..answer(message, hint) }
}

fn answer(message: String, hint: &str) -> Check {
    Check {
        hint: Some(hint.to_owned()),
        ..Check::new("schema", "schema", CheckStatus::Pass, message)
    }
}

//! The flags that all tools share, and the one way a tool starts and ends.

use std::{
    env,
    error::Error as _,
    ffi::OsString,
    io::{self, IsTerminal, Write},
    iter,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{
    bound,
    config::{Config, Flags},
    ctx::Ctx,
    error::{Error, PgError, Result},
    exit::Exit,
    interrupt,
    record::{ErrorRecord, Line, Record},
};

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Common options")]
pub struct CommonArgs {
    /// The database: a URL, a keyword string as for psql, or `embedded:DIR`
    /// [env: DATABASE_URL, or PGHOST and the like]
    #[arg(long, value_name = "URL", global = true)]
    pub database_url: Option<String>,

    /// Work under `[env.NAME]` of migrate.toml: its database, limits and gates
    /// [env: MIGRATE_ENV]
    #[arg(long, value_name = "NAME", global = true)]
    pub env: Option<String>,

    /// The folder with the migration files [default: migrations]
    #[arg(long, value_name = "DIR", global = true)]
    pub migrations: Option<PathBuf>,

    /// The folder with the backups [default: backups]
    #[arg(long, value_name = "DIR", global = true)]
    pub backups: Option<PathBuf>,

    /// The schema that the ledger's tables live in [default: public]
    #[arg(long, value_name = "NAME", global = true)]
    pub ledger_schema: Option<String>,

    /// How to write to stdout: json, text or csv
    /// [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", value_enum, hide_possible_values = true, global = true)]
    pub output: Option<Format>,

    /// Log more on stderr; twice for all [env: LOG_LEVEL]
    #[arg(short = 'v', id = "log_more", action = clap::ArgAction::Count, global = true)]
    pub log_more: u8,

    /// Log only errors
    #[arg(short, long, global = true, conflicts_with = "log_more")]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Json,
    Text,
    Csv,
    /// Of a command that has metrics; its help says so.
    #[value(hide = true)]
    Prometheus,
}

/// What a command writes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Rows of one type, which fit into CSV.
    Rows,
    /// Records of several types.
    Stream,
    /// The same, of a command that changes nothing: its output is its work.
    Report,
    /// The same, and metrics among them, which can be written for Prometheus.
    Metrics,
    /// Text that is no record, such as a JSON Schema.
    Raw,
}

/// A duration as people write it: `500ms`, `30s`, `15m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|err| format!("{err}; write it like 500ms, 30s or 15m"))
}

/// How long a statement may wait for a lock. The server would take 0 for "for ever", and keeps
/// milliseconds in 31 bits.
pub fn lock_timeout(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if (1..=i32::MAX as u128).contains(&time.as_millis()) {
        Ok(time)
    } else {
        Err("a lock timeout lies between 1ms and 24days".to_owned())
    }
}

/// How long others may be blocked. Less than some looks at the server would cancel at random.
pub fn block_limit(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time >= Duration::from_millis(100) {
        Ok(time)
    } else {
        Err("a block limit is at least 100ms".to_owned())
    }
}

#[derive(Parser)]
struct Root<C: Subcommand> {
    #[command(subcommand)]
    command: C,
    #[command(flatten)]
    common: CommonArgs,
}

/// What the description, examples and commands of a tool are.
pub struct Tool {
    pub name: &'static str,
    pub about: &'static str,
    /// Examples and what they do, shown below `--help`.
    pub examples: &'static str,
    /// Which records the tool prints, for `schema`: the part of their types before the dot.
    pub records: &'static [&'static str],
}

/// The tool's command line, as `--help` and the man page show it.
pub fn command_line<C: Subcommand>(tool: &Tool) -> clap::Command {
    use clap::CommandFactory;
    Root::<C>::command()
        .name(tool.name)
        .bin_name(tool.name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(tool.about)
        .after_help(tool.examples)
        .arg_required_else_help(true)
}

/// Parses the command line, runs the command, and turns its result into messages and a code.
pub fn run<C: Subcommand>(
    tool: &'static Tool,
    output: impl FnOnce(&C) -> Output,
    command: impl FnOnce(C, &mut Ctx) -> Result<Exit>,
) -> ExitCode {
    if let Some(err) = bound::become_what_was_wanted() {
        say(&format!("{}: {err}", tool.name));
        return Exit::Unavailable.into();
    }
    let root = match parse::<C>(tool, env::args_os()) {
        Ok(root) => root,
        Err(err) => return not_parsed(tool, &err),
    };
    start_log(&root.common);
    hide_backtraces();
    let kind = output(&root.command);
    let result = start(tool, &root.common, kind).map(|mut ctx| {
        let result = command(root.command, &mut ctx);
        // Where stdout is no stream of records, as under `migrate-lock run`, none stands there.
        let result = result.inspect_err(|err| {
            report(tool.name, (kind != Output::Raw).then_some(&mut ctx), err);
        });
        ctx.flush_rows();
        let exit = result.unwrap_or_else(|err| err.exit());
        ctx.lost_output().map_or(exit, |lost| without_output(tool, kind, exit, &lost))
    });
    let exit = result.unwrap_or_else(|err| {
        report(tool.name, None, &err);
        if kind != Output::Raw && !json_is_unwanted(&root.common) {
            print_error(tool.name, &err);
        }
        err.exit()
    });
    exit.into()
}

/// What was changed is changed, whoever reads of it. But a listing that no disk took is not done;
/// one whose reader has gone (`status | head -1`) is.
fn without_output(tool: &Tool, kind: Output, exit: Exit, lost: &io::Error) -> Exit {
    if kind == Output::Stream || lost.kind() == io::ErrorKind::BrokenPipe {
        say(&format!("{}: the work is done, but its output was lost: {lost}", tool.name));
        return exit;
    }
    say(&format!("{}: cannot write the output: {lost}", tool.name));
    if matches!(exit, Exit::Ok | Exit::No) { Exit::Unavailable } else { exit }
}

fn parse<C: Subcommand>(
    tool: &'static Tool,
    args: impl Iterator<Item = OsString>,
) -> Result<Root<C>, clap::Error> {
    use clap::FromArgMatches;
    let matches = command_line::<C>(tool).try_get_matches_from(args)?;
    Root::<C>::from_arg_matches(&matches)
}

/// Help that was asked for, or a command line that makes no sense.
fn not_parsed(tool: &'static Tool, err: &clap::Error) -> ExitCode {
    let _ = err.print();
    if !err.use_stderr() {
        return Exit::Ok.into();
    }
    let wants_text = env::args().any(|it| ["text", "csv", "--output=text"].contains(&&*it));
    if !wants_text && !io::stdout().is_terminal() {
        let said = err.to_string();
        // What lacks may stand in lines of its own.
        let first = said.split("\n\n").next().and_then(|it| it.strip_prefix("error: "));
        let message = first.unwrap_or("no command is given");
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        print_error(tool.name, &Error::usage(message, format!("see `{} --help`", tool.name)));
    }
    Exit::Usage.into()
}

fn start(tool: &'static Tool, common: &CommonArgs, output: Output) -> Result<Ctx> {
    if common.output == Some(Format::Csv) && output != Output::Rows {
        return Err(Error::usage(
            "this command writes records of several types, which do not fit into CSV",
            "use `--output json`",
        ));
    }
    if common.output == Some(Format::Prometheus) && output != Output::Metrics {
        return Err(Error::usage(
            "this command has no metrics",
            "`--output prometheus` is for `migrate-check health`",
        ));
    }
    interrupt::listen()
        .map_err(|source| Error::Start { program: "signal handler".into(), source })?;
    // Empty is as good as unset, but an empty flag is a mistake: `--env "$NAME"` without a name.
    let variable = |name: &str| env::var(name).ok().filter(|it| !it.is_empty());
    let flags = Flags {
        database_url: common.database_url.clone(),
        env: common.env.clone().or_else(|| variable("MIGRATE_ENV")),
        migrations: common.migrations.clone(),
        backups: common.backups.clone(),
        ledger_schema: common.ledger_schema.clone(),
    };
    let config = Config::load(flags, &variable)?;
    Ok(Ctx::new(tool, common, config))
}

/// A bug of ours is said in a line, whatever `RUST_BACKTRACE` says: SQL could stand in a trace.
fn hide_backtraces() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        say(&format!(
            "internal error at {place}: please report this with the command that you ran"
        ));
    }));
}

/// `LOG_LEVEL` in any case, then `-v` and `-q`.
fn start_log(common: &CommonArgs) {
    let named = env::var("LOG_LEVEL").ok().and_then(|it| it.trim().to_lowercase().parse().ok());
    let level = match (common.quiet, common.log_more) {
        (true, _) => log::LevelFilter::Error,
        (false, 0) => named.unwrap_or(log::LevelFilter::Info),
        (false, 1) => log::LevelFilter::Debug,
        (false, _) => log::LevelFilter::Trace,
    };
    env_logger::Builder::new()
        // The driver logs each message at debug level, with the SQL in it.
        .filter_level(level.min(log::LevelFilter::Warn))
        // A prefix: the core and every tool.
        .filter_module("migrate_", level)
        .format(|out, record| match record.level() {
            log::Level::Info => writeln!(out, "{}", record.args()),
            level => writeln!(out, "{}: {}", level.as_str().to_lowercase(), record.args()),
        })
        .target(env_logger::Target::Stderr)
        .init();
}

/// Says an error for people, and ends the stream of records with it.
fn report(tool: &str, ctx: Option<&mut Ctx>, err: &Error) {
    let mut message = format!("{tool}: {}", escape(&err.to_string()));
    if let Error::Statement { error, .. } | Error::LocksBusy { error, .. } = err {
        for (title, text) in [
            ("", &error.excerpt),
            ("detail: ", &error.detail),
            ("server's hint: ", &error.hint),
            ("context: ", &error.context),
        ] {
            if let Some(text) = text {
                message += &format!("\n{title}{}", escape(text));
            }
        }
    }
    for cause in causes(err) {
        message += &format!("\n  caused by: {}", escape(&cause));
    }
    if let Some(state) = state_left(err) {
        message += &format!("\n  state: {state}");
    }
    if let Some(hint) = err.hint() {
        message += &format!("\n  hint: {hint}");
    }
    say(&message);
    if let Some(ctx) = ctx
        && ctx.takes_errors()
    {
        ctx.emit(error_record(err));
    }
}

/// What a person wants to know first after a failure.
fn state_left(err: &Error) -> Option<&'static str> {
    match err {
        Error::Statement { left: crate::error::Left::Nothing, .. } => {
            Some("everything of this migration was rolled back; what was applied before it stays")
        }
        Error::Statement { left: crate::error::Left::Part, .. } => {
            Some("the statements before it are done and recorded")
        }
        Error::Statement { left: crate::error::Left::Untouched, .. }
        | Error::ConnectionLost { left: crate::error::Left::Untouched, .. } => {
            Some("this was a dry run: the target is as before")
        }
        Error::LocksBusy { .. } => Some("nothing of this migration was done"),
        _ => None,
    }
}

fn causes(err: &Error) -> Vec<String> {
    iter::successors(err.source(), |&cause| cause.source()).filter_map(describe).collect()
}

/// The driver's own words are only "db error": say what the server said.
fn describe(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(db) = cause.downcast_ref::<tokio_postgres::error::DbError>() {
        // Where it has one, the error came out of a function that we don't know.
        let context = db.where_().map(|it| format!(", in {it}")).unwrap_or_default();
        return Some(format!("{} (SQLSTATE {}){context}", db.message(), db.code().code()));
    }
    let told_below = cause.downcast_ref::<PgError>().is_some_and(|it| it.as_db_error().is_some());
    (!told_below).then(|| cause.to_string())
}

fn error_record(err: &Error) -> Record {
    let mut message = err.to_string();
    for cause in causes(err) {
        message += &format!(": {cause}");
    }
    let mut record = ErrorRecord {
        kind: err.kind().to_owned(),
        message,
        hint: err.hint(),
        exit_code: err.exit().code(),
        file: None,
        line: None,
        column: None,
        sqlstate: None,
    };
    let at = match err {
        Error::Sql { at, .. } => Some(at),
        Error::Statement { error, .. } | Error::LocksBusy { error, .. } => {
            record.sqlstate.clone_from(&error.sqlstate);
            error.at.as_ref()
        }
        _ => None,
    };
    if let Some(at) = at {
        record.file = Some(at.file.clone());
        record.line = Some(at.line);
        record.column = Some(at.column);
    }
    Record::Error(record)
}

fn json_is_unwanted(common: &CommonArgs) -> bool {
    match common.output {
        Some(format) => format != Format::Json,
        None => io::stdout().is_terminal(),
    }
}

/// For errors before there is a [`Ctx`].
fn print_error(tool: &'static str, err: &Error) {
    #[expect(clippy::disallowed_methods, reason = "there is no Ctx yet")]
    let at = chrono::Utc::now();
    let line =
        Line { v: crate::record::VERSION, at, tool: tool.to_owned(), record: error_record(err) };
    let line = serde_json::to_string(&line).expect("records have string keys only");
    let _ = writeln!(io::stdout(), "{line}");
}

/// Control characters from names and SQL must not reach a terminal.
fn escape(text: &str) -> String {
    text.chars()
        .map(|it| match it {
            '\n' | '\t' => it.to_string(),
            it if it.is_control() => it.escape_default().to_string(),
            it => it.to_string(),
        })
        .collect()
}

/// The one place that writes messages.
fn say(message: &str) {
    // Where nobody can read it, it is lost; that is no reason to die in the middle of the work.
    let _ = writeln!(io::stderr(), "{message}");
}

//! `resolve`: a person decides what an interrupted or failed migration is.

use std::time::Duration;

use migrate_core::{
    cli,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    ledger::{
        Presence, audit, history,
        history::Status,
        inventories,
        script::{self, Audited},
    },
    migration::{dir, version::Version},
    record::{Direction, MigrationResolved, Record, ResolvedAs},
};

use crate::run::{Place, Run};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The migration
    version: Version,

    /// What it is from now on
    #[arg(long = "as", value_name = "STATE", value_enum)]
    resolve_as: As,

    /// Why; it goes into the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// How long to wait for the migration lock
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = cli::duration)]
    wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum As {
    Applied,
    Pending,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    if args.reason.trim().is_empty() {
        return Err(Error::usage("the reason is empty", "say what you saw and why you decide so"));
    }
    let place = Place::open(ctx)?;
    if place.ledger.look(&place.session)? == Presence::Absent {
        return Err(unknown(&args.version));
    }
    let run = Run::begin(place, Direction::Up, args.wait, None, ctx)?;
    let result = resolve(args, &run, ctx);
    run.release(ctx)?;
    result
}

fn resolve(args: &Args, run: &Run, ctx: &mut Ctx) -> Result<Exit> {
    let (session, ledger) = (&run.session, &run.ledger);
    let runs = history::all(session, ledger)?;
    let half = history::unfinished_down(session, ledger)?;
    let last = runs.iter().find(|it| it.version == args.version);
    let half_down = half.iter().find(|it| it.version == args.version);
    let Some(last) = last else { return Err(unknown(&args.version)) };
    let unclear = matches!(last.status, Status::Running | Status::Failed) || half_down.is_some();
    if !unclear {
        return Err(Error::refused(
            "nothing_to_resolve",
            format!(
                "migration {} `{}` is {}: there is nothing unclear about it",
                last.version,
                last.name,
                last.status.as_str()
            ),
            "`resolve` is for runs that failed or were interrupted",
        ));
    }
    let version = args.version.to_string();
    let execution_ms = last.execution_ms.unwrap_or(0);
    let line = session.transaction(|session| {
        run.lease.fence(session, ledger)?;
        if let Some(half_down) = half_down {
            let status = match args.resolve_as {
                As::Applied => Status::RolledBack,
                As::Pending => Status::Applied,
            };
            history::finish(session, ledger, half_down.id, status, execution_ms, None)?;
        }
        match (args.resolve_as, last.status) {
            (As::Applied, Status::Applied) => (),
            (As::Applied, _) => {
                history::finish(session, ledger, last.id, Status::Applied, execution_ms, None)?;
                keep_way_back(last, run, ctx)?;
            }
            (As::Pending, _) => history::roll_back(session, ledger, &last.version)?,
        }
        let schema = inventories::record(session, ledger, &run.run_id)?;
        let (down_checksum, down_transaction) = way_back(last, run)?.unzip();
        let line = ctx.line(Record::MigrationResolved(MigrationResolved {
            version: last.version.clone(),
            name: last.name.clone(),
            resolved_as: match args.resolve_as {
                As::Applied => ResolvedAs::Applied,
                As::Pending => ResolvedAs::Pending,
            },
            reason: args.reason.clone(),
            previous_status: half_down.unwrap_or(last).status.as_str().to_owned(),
            down_checksum,
            down_transaction,
            schema_sha256: schema.map(|it| it.sha256),
        }));
        audit::append(session, ledger, &line, Some(&version), Some(&run.run_id))?;
        Ok(line)
    })?;
    ctx.emit_line(line);
    Ok(Exit::Ok)
}

/// What is applied from now on must be possible to roll back, as any other.
fn keep_way_back(last: &history::Run, run: &Run, ctx: &Ctx) -> Result<()> {
    let files = dir::read_dir(&ctx.config.migrations).unwrap_or_default();
    let file = files.iter().find(|it| it.version == last.version && it.checksum == last.checksum);
    match file.and_then(|it| it.down.as_ref().zip(it.down_checksum.as_ref())) {
        Some((down, checksum)) => {
            script::insert(&run.session, &run.ledger, last.id, down, checksum)
        }
        None => Ok(()),
    }
}

/// What `down` will compare with. What was applied before stands in the audit log; what is applied
/// from now on gets that of the way back as it is kept.
fn way_back(last: &history::Run, run: &Run) -> Result<Option<(String, bool)>> {
    let stored = script::read(&run.session, &run.ledger, last.id)?;
    Ok(stored.map(|it| match (last.status, it.audited) {
        (Status::Applied, Audited::As { checksum, transaction }) => {
            (checksum, transaction.unwrap_or(it.transaction))
        }
        _ => (it.checksum, it.transaction),
    }))
}

fn unknown(version: &Version) -> Error {
    Error::usage(
        format!("the history knows no run of migration {version}"),
        "`migrate-apply status` lists what is there",
    )
}

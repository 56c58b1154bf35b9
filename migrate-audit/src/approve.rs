//! `approve`: a person wants a plan to run, and says so in the log.

use std::path::PathBuf;

use migrate_core::{
    connect::session::Facts,
    ctx::Ctx,
    error::{Error, Result},
    exit::Exit,
    gate::{person::Person, signature},
    input,
    record::{Identity, Plan, PlanApproved, Record},
};
use serde_json::Value;

use crate::place::Place;

/// Shown below `--help`.
pub(crate) const HELP: &str = "\
An approval is of one plan: whatever changes what `up` would do changes its hash. One person counts
once for a plan, and its authors (`-- author: NAME` in the files) don't count. Who it is:
  the database role that is connected, or
  NAME, as stated with --as: the role that brought it stands beside it, or
  the key of a signature. Who approves off-line needs no access to the database:
    echo PLAN_HASH | ssh-keygen -Y sign -n migrate-plan -f ~/.ssh/id_ed25519 > FILE
  Somebody else brings FILE in with --signature; `allowed_signers` in migrate.toml names the keys
  as `ssh-keygen -Y verify` wants them (NAME ssh-ed25519 KEY). `up` checks it again.
`approved_by = \"database\"` or `\"signature\"` in [env.X.require] takes nothing weaker.";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The hash of the plan; `-` reads what `migrate-apply plan` printed from stdin
    #[arg(value_name = "PLAN_HASH", value_parser = plan)]
    plan: Asked,

    /// Who approves it, where that is not the database role
    #[arg(long = "as", value_name = "NAME")]
    approver: Option<String>,

    /// What the approver has signed
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,

    /// The keys that may sign, instead of `allowed_signers` in migrate.toml
    #[arg(long, value_name = "FILE", requires = "signature")]
    allowed_signers: Option<PathBuf>,

    /// What the approver remarks
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
}

/// Which plan.
#[derive(Debug, Clone)]
enum Asked {
    Hash(String),
    Stdin,
}

fn plan(text: &str) -> Result<Asked, &'static str> {
    if text == "-" {
        return Ok(Asked::Stdin);
    }
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let good = digits.len() == 64 && digits.bytes().all(|it| b"0123456789abcdef".contains(&it));
    if good {
        Ok(Asked::Hash(format!("sha256:{digits}")))
    } else {
        Err(
            "a plan's hash is `sha256:` and 64 hexadecimal digits, as `migrate-apply plan` prints it",
        )
    }
}

/// A plan as it came.
struct Planned {
    hash: String,
    /// Where all of it is known.
    plan: Option<Plan>,
    authors: Vec<String>,
}

pub(crate) fn run(args: &Args, ctx: &mut Ctx) -> Result<Exit> {
    let planned = match &args.plan {
        Asked::Hash(hash) => Planned { hash: hash.clone(), plan: None, authors: Vec::new() },
        Asked::Stdin => read_plan()?,
    };
    let named = args.approver.as_deref().map(str::trim);
    if named.is_some_and(|it| it.is_empty() || it.len() > 200 || it.contains(char::is_control)) {
        return Err(Error::usage(
            "this cannot be a person's name",
            "write a name or an address in 1 to 200 characters: --as ann@shop.example",
        ));
    }
    let signed = sign(args, &planned.hash, named, ctx)?;
    let place = Place::open("approve", ctx)?;
    check_database(&planned, place.session.facts())?;
    let role = place.session.facts().role.clone();
    let (approver, identity) = match (&signed, named) {
        (Some((signed, _)), _) => (signed.signer.clone(), Identity::Signature),
        (None, Some(name)) if name != role => (name.to_owned(), Identity::Stated),
        (None, _) => (role.clone(), Identity::Database),
    };
    let person = Person::named(&approver);
    if planned.authors.iter().any(|it| Person::named(it) == person) {
        return Err(Error::refused(
            "own_work",
            format!("{approver} is an author of this plan: such an approval does not count"),
            "somebody else has to read it",
        ));
    }
    let (signed, signature) = signed.unzip();
    let approved = PlanApproved {
        plan_hash: planned.hash.clone(),
        approver,
        identity,
        role,
        comment: args.comment.clone(),
        fingerprint: signed.and_then(|it| it.fingerprint),
        signature,
    };
    place.append(Record::PlanApproved(approved), Some(&planned.hash), ctx)?;
    Ok(Exit::Ok)
}

/// Checks a signature before anything is written; nothing where none was given.
fn sign(
    args: &Args,
    hash: &str,
    named: Option<&str>,
    ctx: &Ctx,
) -> Result<Option<(signature::Signed, String)>> {
    let Some(path) = &args.signature else { return Ok(None) };
    let signers = args.allowed_signers.as_ref().or(ctx.config.allowed_signers.as_ref());
    let signers = signers.ok_or_else(|| {
        Error::usage(
            "nothing says whose signatures count",
            "name the file of keys with `allowed_signers` in migrate.toml, or `--allowed-signers FILE`",
        )
    })?;
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::ReadFile { path: path.clone(), source })?;
    let signed = signature::verify(hash, &text, signers, named)?;
    Ok(Some((signed, text)))
}

/// Reads a plan to its end, before anything is written.
fn read_plan() -> Result<Planned> {
    let mut plan = None;
    let mut authors = Vec::new();
    input::read_stdin(&mut |record: Value| match record["type"].as_str() {
        Some("plan.step") => authors.extend(record["author"].as_str().map(str::to_owned)),
        Some("plan") => plan = Some(record),
        _ => (),
    })?;
    let plan = plan.ok_or_else(|| input::missing("plan", "migrate-apply plan"))?;
    let plan = serde_json::from_value::<Plan>(plan).map_err(|err| {
        Error::usage(
            format!("the `plan` record cannot be read: {err}"),
            "make it anew with `migrate-apply plan`",
        )
    })?;
    Ok(Planned { hash: plan.plan_hash.clone(), plan: Some(plan), authors })
}

/// An approval in the log of another database would approve nothing.
fn check_database(planned: &Planned, facts: &Facts) -> Result<()> {
    let Some(plan) = &planned.plan else { return Ok(()) };
    if plan.system_identifier == facts.system_identifier && plan.database == facts.database {
        return Ok(());
    }
    Err(Error::refused(
        "plan_of_another_database",
        format!(
            "the plan is for database `{}` of system {}, and this is `{}` of {}",
            plan.database, plan.system_identifier, facts.database, facts.system_identifier
        ),
        "connect to the database that the plan was made for",
    ))
}

//! A database takes the place of another one, with the lock and the audit log handed on to it.

use std::{sync::Arc, time::Duration};

use migrate_core::{
    connect::{session::Session, target::Database},
    ctx::Ctx,
    error::{Error, Result},
    fault::{self, Point},
    interrupt,
    ledger::{
        Ledger, Presence, audit,
        handover::{self, Chains, Keeper},
        hold::Hold,
        lease::Lease,
    },
    record::Line,
};

use super::{
    maintenance::Maintenance,
    swap::{self, Exchange},
};
use crate::place::Place;

/// How long the leases outlive the keeper where nobody can see that it is gone.
const HANDED_FOR: Duration = Duration::from_secs(300);
const REATTACH_WAIT: Duration = Duration::from_secs(10);

/// The new database under the name, and what was done on the way.
pub(crate) struct Done {
    session: Session,
    ledger: Arc<Ledger>,
    /// None where the new database has no ledger.
    lease: Option<Lease>,
    pub(crate) gap: Duration,
    pub(crate) audit_rows_carried: u64,
    pub(crate) warnings: Vec<String>,
    /// Last, as a private server stops with its last user.
    _database: Arc<Database>,
}

/// What the new database needs to know before it takes the place.
struct Prepared {
    lease: Option<Lease>,
    /// The last row of the audit log that was carried, where the two logs belong together.
    carried_to: Option<i64>,
    carried: u64,
    warnings: Vec<String>,
}

/// Lets `exchange.new` take the place of the database that `place` works on, under `hold`.
pub(crate) fn run(
    place: Place,
    mut hold: Hold,
    maintenance: &mut Maintenance,
    exchange: &Exchange,
    ctx: &mut Ctx,
) -> Result<Done> {
    let Place { database, session: live, ledger, .. } = place;
    let new = Arc::new(database.beside(&exchange.new_name));
    let prepared = prepare(&live, &new, &ledger, &mut hold, maintenance);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(err) => return Err(give_back(hold, &live, &ledger, err, ctx)),
    };
    fault::hit(Point::LeasesHanded);
    interrupt::cancels(None);
    // No session of ours may be in either.
    drop(live);
    match swap::swap(maintenance, exchange) {
        Ok(gap) => {
            let state = |err| not_ended(exchange, err);
            end(&database, exchange, ledger, &hold.lease, prepared, gap).map_err(state)
        }
        Err(err @ Error::Unsure { .. }) => Err(err),
        Err(err) => {
            let again = Session::open(&database, &hold.application);
            let given = again.and_then(|live| {
                hold.lease.reattach(&live, &ledger, REATTACH_WAIT)?;
                Ok(live)
            });
            match given {
                Ok(live) => Err(give_back(hold, &live, &ledger, err, ctx)),
                Err(lost) => {
                    log::warn!("the lock could not be given back, and ends by itself: {lost}");
                    Err(err)
                }
            }
        }
    }
}

/// Everything that can fail comes before anybody is cut off.
fn prepare(
    live: &Session,
    new: &Arc<Database>,
    ledger: &Ledger,
    hold: &mut Hold,
    maintenance: &Maintenance,
) -> Result<Prepared> {
    let keeper = Keeper::of(&maintenance.session)?;
    let session = Session::open(new, &hold.application)?;
    let mut warnings = Vec::new();
    let (mut lease, mut carried_to, mut carried) = (None, None, 0);
    if ledger.look_to_write(&session)? == Presence::Present {
        match handover::compare_chains(live, &session, ledger)? {
            Chains::Continues { from } => {
                let to = handover::carry_audit(live, &session, ledger, from)?;
                carried_to = Some(to);
                carried = (to - from).unsigned_abs();
            }
            Chains::Forked { at } => warnings.push(format!(
                "the audit logs differ from row {at} on: that of the replaced database stays in it"
            )),
            Chains::Shorter => warnings.push(
                "the audit log of the replaced database is shorter than that of the new one, and \
                 stays in it"
                    .to_owned(),
            ),
        }
        let above = handover::last_token(live, ledger)?;
        lease = Some(handover::plant(&session, ledger, &hold.lease, keeper, HANDED_FOR, above)?);
    } else {
        warnings.push("the new database has no ledger: its next migration makes one".to_owned());
    }
    drop(session);
    if let Some(err) = hold.stopped(|| "nothing was exchanged".to_owned()) {
        return Err(err);
    }
    hold.end_renewals();
    if !hold.lease.inherited {
        handover::point(live, ledger, &hold.lease, keeper, HANDED_FOR)?;
    }
    Ok(Prepared { lease, carried_to, carried, warnings })
}

/// What remains is only to record it.
fn end(
    database: &Arc<Database>,
    exchange: &Exchange,
    ledger: Arc<Ledger>,
    old_lease: &Lease,
    prepared: Prepared,
    gap: Duration,
) -> Result<Done> {
    let Prepared { lease, carried_to, mut carried, warnings } = prepared;
    let session = Session::open(database, "migrate-backup/restore")?;
    if let Some(lease) = &lease {
        lease.reattach(&session, &ledger, REATTACH_WAIT)?;
    }
    let old = Session::open(&database.beside(&exchange.kept_name), "migrate-backup/restore")?;
    if let Some(to) = carried_to {
        // What was written to the log between the carrying and the exchange.
        let last = handover::carry_audit(&old, &session, &ledger, to)?;
        carried += (last - to).unsigned_abs();
    }
    handover::remove(&old, &ledger, old_lease)?;
    let _database = Arc::clone(database);
    Ok(Done { session, ledger, lease, gap, audit_rows_carried: carried, warnings, _database })
}

impl Done {
    /// Records what was done, and gives the lease back in the same transaction.
    pub(crate) fn record(&self, line: &Line, subject: &str, run_id: &str) -> Result<()> {
        let Some(lease) = &self.lease else { return Ok(()) };
        self.session.transaction(|session| {
            lease.fence(session, &self.ledger)?;
            audit::append(session, &self.ledger, line, Some(subject), Some(run_id))?;
            lease.delete(session, &self.ledger)
        })
    }
}

pub(crate) fn not_ended(exchange: &Exchange, err: Error) -> Error {
    if matches!(err, Error::NotEnded { .. }) {
        return err;
    }
    Error::NotEnded {
        kind: "exchange_not_recorded",
        message: format!(
            "`{}` is the new database, and the old one is kept as `{}`; but that could not be \
             recorded: {err}",
            exchange.name, exchange.kept_name
        ),
        hint: Some("nothing more has to be done for the application".to_owned()),
    }
}

fn give_back(hold: Hold, live: &Session, ledger: &Ledger, err: Error, ctx: &mut Ctx) -> Error {
    if let Err(lost) = hold.release(live, ledger, ctx) {
        log::warn!("the lock could not be given back, and ends by itself: {lost}");
    }
    err
}

//! SIGINT, SIGTERM and SIGHUP: the first one asks the tool to clean up and end, a second one ends it at once.

use std::{
    io,
    sync::{
        Mutex,
        atomic::{AtomicI32, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::connect::cancel::Cancel;

static RECEIVED: AtomicI32 = AtomicI32::new(0);
/// What the first signal cancels.
static RUNNING: Mutex<Option<Cancel>> = Mutex::new(None);
/// What a second signal leaves behind, in words.
static LEFT: Mutex<Option<String>> = Mutex::new(None);

type HandOn = Box<dyn Fn(i32) + Send>;
/// To whom signals are handed on while a command of the user runs.
static HAND_ON: Mutex<Option<HandOn>> = Mutex::new(None);

/// Starts to listen; from now on a signal does not end the tool by itself.
pub(crate) fn listen() -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if let Some(hand_on) = &*HAND_ON.lock().expect("never poisoned") {
                hand_on(signal);
                continue;
            }
            if RECEIVED.swap(signal, Ordering::SeqCst) != 0 {
                die(signal);
            }
            log::warn!("signal {signal} received: cleaning up; a second one ends at once");
            cancel_running();
        }
    })?;
    Ok(())
}

/// The signal that asked the tool to end.
pub fn received() -> Option<u8> {
    u8::try_from(RECEIVED.load(Ordering::SeqCst)).ok().filter(|&it| it != 0)
}

/// From now on signals are not for us: who gets them decides what they mean.
pub fn hand_on(to: Option<HandOn>) {
    *HAND_ON.lock().expect("never poisoned") = to;
}

/// Names the statement that a signal cancels.
pub fn cancels(cancel: Option<Cancel>) {
    *RUNNING.lock().expect("never poisoned") = cancel;
}

/// Says what a second signal would leave behind.
pub fn leaves(left: Option<String>) {
    *LEFT.lock().expect("never poisoned") = left;
}

/// Cancels the statement under way, as the first signal does.
pub fn cancel_running() {
    let cancel = RUNNING.lock().expect("never poisoned").clone();
    if let Some(cancel) = cancel
        && let Err(err) = cancel.cancel_blocking()
    {
        log::warn!("cannot cancel the statement: {err}");
    }
}

#[expect(
    clippy::print_stderr,
    clippy::exit,
    clippy::disallowed_methods,
    reason = "the end, at once"
)]
fn die(signal: i32) {
    let left = LEFT.lock().expect("never poisoned").clone();
    eprintln!(
        "ended at once by a second signal; {}",
        left.as_deref().unwrap_or("nothing was under way")
    );
    std::process::exit(128 + signal);
}

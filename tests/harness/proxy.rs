//! A proxy in front of the server, which cuts connections at a message that a test names.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tempfile::TempDir;

use crate::World;

/// When the connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never sees the message.
    Before,
    /// The server gets it, the client gets no answer.
    After,
    /// As [`Cut::Before`], and from then on nobody gets through.
    BeforeAndStayAway,
    /// As [`Cut::After`], and from then on nobody gets through.
    AfterAndStayAway,
}

/// Stands in for the server under a world's DATABASE_URL.
pub struct Proxy {
    dir: TempDir,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// The text in a message, how many of such to let pass, and what then.
    rule: Mutex<Option<(Vec<u8>, usize, Cut)>>,
    away: AtomicBool,
    open: Mutex<Vec<UnixStream>>,
    /// The path of the server's socket.
    server: Mutex<String>,
}

impl Proxy {
    pub fn new(world: &World) -> Proxy {
        let dir = tempfile::Builder::new().prefix("proxy-").tempdir_in("/tmp").unwrap();
        let listener = UnixListener::bind(dir.path().join(".s.PGSQL.5432")).unwrap();
        let state = Arc::new(State::default());
        *state.server.lock().unwrap() = socket(world.url());
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                accepting.connect(client.unwrap());
            }
        });
        Proxy { dir, state }
    }

    /// How to connect through it.
    pub fn url(&self, world: &World) -> String {
        world.url().replace(host(world.url()), self.dir.path().to_str().unwrap())
    }

    /// Cuts once, at the `nth` message that holds `text`.
    pub fn cut(&self, text: &str, nth: usize, cut: Cut) {
        *self.state.rule.lock().unwrap() = Some((text.as_bytes().to_vec(), nth, cut));
    }

    /// Whether the message came.
    pub fn has_cut(&self) -> bool {
        self.state.rule.lock().unwrap().is_none()
    }

    /// Lets everybody through again.
    pub fn come_back(&self) {
        self.state.away.store(false, Ordering::SeqCst);
    }

    /// Cuts all connections, and leads to another server from now on.
    pub fn fail_over(&self, url: &str) {
        *self.state.server.lock().unwrap() = socket(url);
        self.state.go_away();
        self.come_back();
    }
}

impl State {
    fn connect(self: &Arc<State>, client: UnixStream) {
        if self.away.load(Ordering::SeqCst) {
            return;
        }
        let server = UnixStream::connect(&*self.server.lock().unwrap()).unwrap();
        let copy = |stream: &UnixStream| stream.try_clone().unwrap();
        self.open.lock().unwrap().push(copy(&client));
        let (answers, asker) = (copy(&server), copy(&client));
        thread::spawn(move || {
            let _ = std::io::copy(&mut &answers, &mut &asker);
            let _ = asker.shutdown(Shutdown::Both);
        });
        let state = Arc::clone(self);
        thread::spawn(move || {
            state.forward(&client, &server);
            let _ = server.shutdown(Shutdown::Write);
        });
    }

    /// Message by message, as several may come together.
    fn forward(&self, client: &UnixStream, mut server: &UnixStream) {
        let mut begun = false;
        while let Some(message) = read_message(client, begun) {
            begun = true;
            let cut = self.decide(&message);
            if matches!(cut, Some(Cut::BeforeAndStayAway | Cut::AfterAndStayAway)) {
                self.away.store(true, Ordering::SeqCst);
            }
            if cut.is_some() {
                // First of all, or the answer might get through.
                let _ = client.shutdown(Shutdown::Both);
            }
            let sent = !matches!(cut, Some(Cut::Before | Cut::BeforeAndStayAway));
            if sent && server.write_all(&message).is_err() {
                return;
            }
            match cut {
                None => (),
                Some(Cut::Before | Cut::After) => return,
                Some(Cut::BeforeAndStayAway | Cut::AfterAndStayAway) => return self.go_away(),
            }
        }
    }

    fn decide(&self, message: &[u8]) -> Option<Cut> {
        let mut rule = self.rule.lock().unwrap();
        let (text, left, cut) = rule.as_mut()?;
        if !message.windows(text.len()).any(|it| it == text.as_slice()) {
            return None;
        }
        *left -= 1;
        let cut = (*left == 0).then_some(*cut)?;
        *rule = None;
        Some(cut)
    }

    fn go_away(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A message of the client: its type, which the first one lacks, its length, which counts itself, and the rest.
fn read_message(mut client: &UnixStream, begun: bool) -> Option<Vec<u8>> {
    let mut message = vec![0; if begun { 5 } else { 4 }];
    client.read_exact(&mut message).ok()?;
    let length = u32::from_be_bytes(message[message.len() - 4..].try_into().unwrap()) as usize;
    let head = message.len();
    message.resize(head + length - 4, 0);
    client.read_exact(&mut message[head..]).ok()?;
    Some(message)
}

fn socket(url: &str) -> String {
    format!("{}/.s.PGSQL.5432", host(url))
}

/// The folder of the socket in a connection string of the harness.
fn host(url: &str) -> &str {
    url.split(' ').find_map(|it| it.strip_prefix("host=")).unwrap()
}

//! What every command receives besides its own arguments: the clock, the output, the configuration.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

use chrono::{DateTime, Utc};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    cli::{CommonArgs, Format, Tool},
    config::Config,
    error::{Error, Result},
    exit::Exit,
    man,
    record::{Line, Record, VERSION, schema},
    text,
};

pub struct Ctx {
    pub config: Config,
    tool: &'static Tool,
    format: Format,
    held: Vec<Line>,
    lost_output: Option<io::Error>,
}

impl Ctx {
    pub(crate) fn new(tool: &'static Tool, common: &CommonArgs, config: Config) -> Ctx {
        let format = common.output.unwrap_or_else(|| {
            if io::stdout().is_terminal() { Format::Text } else { Format::Json }
        });
        Ctx { config, tool, format, held: Vec::new(), lost_output: None }
    }

    pub fn tool(&self) -> &'static str {
        self.tool.name
    }

    /// Whether a person reads stdout.
    pub fn for_people(&self) -> bool {
        self.format == Format::Text
    }

    /// Whether an error may stand among the records on stdout.
    pub(crate) fn takes_errors(&self) -> bool {
        matches!(self.format, Format::Json | Format::Csv)
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether nobody reads stdout any more: of use to what has no end of its own.
    pub fn output_is_lost(&self) -> bool {
        let stdout = io::stdout();
        // Of a pipe this tells that its reader has gone, before anything is written.
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        self.lost_output.is_some()
            || poll(&mut polled, Some(&Timespec::default())).is_ok()
                && polled[0].revents().contains(PollFlags::ERR)
    }

    /// The time, which tests of a debug build may set with `MIGRATE_NOW`.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        match env::var("MIGRATE_NOW") {
            Ok(fixed) if cfg!(debug_assertions) => fixed.parse().expect("MIGRATE_NOW is a time"),
            _ => Utc::now(),
        }
    }

    /// The record with its time, to be said on stdout and in the audit log alike.
    pub fn line(&self, record: Record) -> Line {
        Line { v: VERSION, at: self.now(), tool: self.tool.name.to_owned(), record }
    }

    /// Writes one record to stdout.
    pub fn emit(&mut self, record: Record) {
        let line = self.line(record);
        self.emit_line(line);
    }

    /// Writes a line that is said elsewhere too.
    pub fn emit_line(&mut self, line: Line) {
        self.emit_lines(vec![line]);
    }

    /// Writes records that became known at the same moment, in one write.
    pub fn emit_together(&mut self, records: Vec<Record>) {
        let at = self.now();
        let line = |record| Line { v: VERSION, at, tool: self.tool.name.to_owned(), record };
        self.emit_lines(records.into_iter().map(line).collect());
    }

    fn emit_lines(&mut self, lines: Vec<Line>) {
        let rows = match self.format {
            Format::Json => false,
            Format::Text => lines.iter().all(|it| text::is_row(&it.record)),
            Format::Csv | Format::Prometheus => true,
        };
        if rows {
            self.held.extend(lines);
        } else {
            self.flush_rows();
            self.write_lines(&lines);
        }
    }

    /// Writes text that is no record, such as a page of HTML.
    pub fn print(&mut self, text: &[u8]) {
        self.write(text);
    }

    /// Prints the JSON Schema of all records that a tool may print.
    pub fn print_schema(&mut self) -> Result<Exit> {
        let schema = schema::of_tool(self.tool.name, self.tool.records);
        let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
        text.push('\n');
        self.write(text.as_bytes());
        Ok(Exit::Ok)
    }

    /// Prints a text that is no record, such as a file for later.
    pub fn print_text(&mut self, text: &str) {
        self.write(text.as_bytes());
    }

    /// Prints a man page made from the command line and its help.
    pub fn print_man_page(&mut self, command: clap::Command) -> Result<Exit> {
        self.write(&man::page(command));
        Ok(Exit::Ok)
    }

    /// stdout for a command that writes a file there, and no records.
    pub fn bytes_output(&self) -> Result<impl Write + use<>> {
        let stdout = io::stdout();
        if stdout.is_terminal() {
            return Err(Error::usage(
                "this command writes a file to stdout, and stdout is a terminal",
                "send it to a file or to another program: `> FILE` or `| PROGRAM`",
            ));
        }
        Ok(stdout.lock())
    }

    /// Draws the rows of a listing that were held back to become one table.
    pub(crate) fn flush_rows(&mut self) {
        let rows = std::mem::take(&mut self.held);
        if !rows.is_empty() {
            let table = match self.format {
                Format::Csv => text::csv(&rows),
                Format::Prometheus => text::prometheus::page(&rows).into_bytes(),
                Format::Text | Format::Json => text::table(&rows).into_bytes(),
            };
            self.write(&table);
        }
    }

    pub(crate) fn lost_output(self) -> Option<io::Error> {
        self.lost_output
    }

    fn write_lines(&mut self, lines: &[Line]) {
        let mut out = Vec::new();
        for line in lines {
            if self.format == Format::Text {
                let Some(said) = text::line(&line.record) else { continue };
                out.extend_from_slice(said.as_bytes());
            } else {
                serde_json::to_writer(&mut out, line).expect("records have string keys only");
            }
            out.push(b'\n');
        }
        self.write(&out);
    }

    /// A closed pipe must not stop a migration half way (`migrate-apply up | head -1`), so the
    /// first failure is kept for the end of the run, and the work goes on.
    fn write(&mut self, bytes: &[u8]) {
        if self.lost_output.is_some() {
            return;
        }
        let mut stdout = io::stdout().lock();
        self.lost_output = stdout.write_all(bytes).and_then(|()| stdout.flush()).err();
    }
}

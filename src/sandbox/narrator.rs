//! Tells the story on standard output: what was seen, when, and why it comes in this order.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    pin::pin,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{Instant, interval_at};

use crate::clock::Clock;

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";

/// `mt_` and five digits.
const SHORT: usize = 8;

/// Speaks to a person. Colours and lines that are written over appear on a terminal only.
#[derive(Debug, Clone)]
pub(super) struct Narrator {
    is_terminal: bool,
    clock: Clock,
    since: Timestamp,
}

impl Narrator {
    /// Counts its times from now on.
    pub(super) fn stdout(clock: Clock) -> Self {
        Self {
            is_terminal: io::stdout().is_terminal(),
            since: clock.now(),
            clock,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Begins a chapter. `why` is told in lines of its own.
    pub(super) fn chapter(&self, title: &str, why: &[&str]) {
        print(format_args!("\n{}\n", self.in_style(BOLD, title)));
        for line in why {
            print(format_args!("  {}\n", self.in_style(DIM, line)));
        }
    }

    /// Something that happened just now.
    pub(super) fn step(&self, word: &str, text: impl Display) {
        self.step_at(self.now(), word, text);
    }

    /// Something that happened then.
    pub(super) fn step_at(&self, at: Timestamp, word: &str, text: impl Display) {
        let seconds = at.duration_since(self.since).as_secs_f32();
        let word = self.in_style(GREEN, &format!("{word:<9}"));
        print(format_args!("  {seconds:>6.2} s  {word}  {text}\n"));
    }

    /// More about the step before.
    pub(super) fn more(&self, text: impl Display) {
        let text = self.in_style(DIM, &text.to_string());
        print(format_args!("                       {text}\n"));
    }

    /// Shows on a terminal what is waited for, from the first second on.
    pub(super) async fn during<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        if !self.is_terminal {
            return work.await;
        }
        let second = Duration::from_secs(1);
        let started = Instant::now();
        let mut work = pin!(work);
        let mut tick = interval_at(started + second, second);
        let mut shown = false;
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    if shown {
                        print(format_args!("\r\x1b[2K"));
                    }
                    return done;
                }
                _ = tick.tick() => {
                    let waited = format!("… {what}: {} s", started.elapsed().as_secs());
                    print(format_args!("\r\x1b[2K            {}", self.in_style(DIM, &waited)));
                    shown = true;
                }
            }
        }
    }

    fn in_style(&self, style: &str, text: &str) -> String {
        if self.is_terminal {
            format!("\x1b[{style}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// A line as it is.
pub(super) fn say(line: impl Display) {
    print(format_args!("{line}\n"));
}

/// The beginning of an id or a label: enough to tell a few of them apart.
pub(super) fn short(id: &str) -> String {
    match id.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", &id[..end]),
        None => id.to_owned(),
    }
}

/// A story that nobody reads any more is no reason to fail: its facts are checked all the same.
fn print(text: std::fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    _ = stdout.write_fmt(text).and_then(|()| stdout.flush());
}

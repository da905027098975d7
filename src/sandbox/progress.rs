//! Tells a waiting person what is being waited for, on standard error.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write as _},
    pin::pin,
    time::Duration,
};

use tokio::time::{Instant, interval};

/// Where progress is shown. Written past the capture of the test harness: a first `cargo test` may
/// take minutes, and says why.
#[derive(Debug, Clone, Copy)]
pub struct Progress(Sink);

#[derive(Debug, Clone, Copy)]
enum Sink {
    /// One line that is written over.
    Terminal,
    /// A line now and then, for logs.
    Lines,
    Silent,
}

impl Progress {
    /// One updated line on a terminal, a line every fifteen seconds elsewhere.
    pub fn stderr() -> Self {
        Self(if io::stderr().is_terminal() {
            Sink::Terminal
        } else {
            Sink::Lines
        })
    }

    /// Says nothing.
    pub fn silent() -> Self {
        Self(Sink::Silent)
    }

    /// One line that stays.
    pub fn say(self, line: impl Display) {
        if !matches!(self.0, Sink::Silent) {
            write(format_args!("handover: {line}\n"));
        }
    }

    /// Shows `what` and the time it has taken, until `work` is done.
    pub async fn during<T>(self, what: impl Display, work: impl Future<Output = T>) -> T {
        let every = match self.0 {
            Sink::Terminal => Duration::from_secs(1),
            Sink::Lines => Duration::from_secs(15),
            Sink::Silent => return work.await,
        };
        let started = Instant::now();
        let mut work = pin!(work);
        let mut tick = interval(every);
        loop {
            tokio::select! {
                biased;
                done = &mut work => {
                    self.finish(&what, started.elapsed());
                    return done;
                }
                _ = tick.tick() => self.show(&what, started.elapsed()),
            }
        }
    }

    fn show(self, what: &impl Display, elapsed: Duration) {
        let seconds = elapsed.as_secs();
        match self.0 {
            Sink::Terminal => write(format_args!("\r\x1b[2Khandover: {what} … {seconds} s")),
            Sink::Lines => write(format_args!("handover: {what} … {seconds} s\n")),
            Sink::Silent => {}
        }
    }

    fn finish(self, what: &impl Display, elapsed: Duration) {
        let seconds = elapsed.as_secs_f32();
        let over = if matches!(self.0, Sink::Terminal) {
            "\r\x1b[2K"
        } else {
            ""
        };
        write(format_args!("{over}handover: {what}: {seconds:.1} s\n"));
    }
}

/// Progress that cannot be shown is no reason to fail.
fn write(text: std::fmt::Arguments<'_>) {
    let mut stderr = io::stderr().lock();
    _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}

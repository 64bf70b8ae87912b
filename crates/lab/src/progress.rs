// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lab is doing, for the person who waits: all of it goes to standard error.
//!
//! On a terminal a long job is a bar with an estimate of the time left; elsewhere (a CI log, a pipe) it is a
//! plain line when it begins, every half minute, and when it is done. A program that wants silence calls
//! [`set_mode`].

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bars that redraw themselves.
    Bars,
    /// Plain lines.
    Lines,
    /// Nothing but warnings.
    Quiet,
}

/// How often a plain line tells where a long job is.
const EVERY: Duration = Duration::from_secs(30);

struct Shared {
    mode: Mode,
    bars: MultiProgress,
}

static SHARED: LazyLock<Mutex<Shared>> = LazyLock::new(|| {
    let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
    let mode = if terminal { Mode::Bars } else { Mode::Lines };
    Mutex::new(Shared { mode, bars: MultiProgress::new() })
});

/// Shows progress this way from now on. Without it: bars on a terminal, lines elsewhere.
pub fn set_mode(mode: Mode) {
    with(|shared| shared.mode = mode);
}

/// Says one thing, above the bars if there are any.
pub fn note(text: impl AsRef<str>) {
    with(|shared| {
        if shared.mode != Mode::Quiet {
            shared.line(text.as_ref())
        }
    });
}

/// Says one thing that must not go unseen, in every mode.
pub fn warn(text: impl AsRef<str>) {
    with(|shared| shared.line(&format!("warning: {}", text.as_ref())));
}

/// Passes on a line of a tool's own messages, in every mode.
pub fn show(line: &str) {
    with(|shared| shared.line(line));
}

fn with<T>(f: impl FnOnce(&mut Shared) -> T) -> T {
    f(&mut SHARED.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Shared {
    fn line(&self, text: &str) {
        if self.mode == Mode::Bars {
            // Nobody is left to tell when standard error cannot be written.
            let _ = self.bars.println(text);
        } else {
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// One job that takes a while. Dropped without [`done`](Self::done), it just disappears: the error that
/// ended it tells the rest.
#[derive(Debug)]
pub struct Job {
    title: Cow<'static, str>,
    begun: Instant,
    bar: Option<ProgressBar>,
    lines: bool,
    total: u64,
    at: u64,
    resumed: u64,
    told: Instant,
}

impl Job {
    /// Begins a job: `title` says what is done, as in "building the kernel".
    pub fn begin(title: impl Into<Cow<'static, str>>) -> Self {
        let title = title.into();
        let now = Instant::now();
        let mode = with(|shared| shared.mode);
        let bar = (mode == Mode::Bars).then(|| spinner(&title));
        if mode == Mode::Lines {
            note(format!("{title}..."));
        }
        Self { title, begun: now, bar, lines: mode == Mode::Lines, total: 0, at: 0, resumed: 0, told: now }
    }

    /// How many steps there are, if that is known or well guessed.
    pub fn set_total(&mut self, total: u64) {
        self.total = total;
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_style(bar_style());
        }
    }

    /// How many steps are done. A total that was guessed too low grows along.
    pub fn set(&mut self, at: u64) {
        if self.total > 0 && at > self.total {
            self.set_total(at);
        }
        self.at = at;
        if let Some(bar) = &self.bar {
            bar.set_position(at);
        }
        if self.lines && self.told.elapsed() >= EVERY {
            self.told = Instant::now();
            note(self.report());
        }
    }

    /// One more step is done.
    pub fn step(&mut self) {
        self.set(self.at + 1);
    }

    /// So many steps had been done before this job began: they count, but tell nothing about its pace.
    pub fn resume_at(&mut self, at: u64) {
        self.at = at;
        self.resumed = at;
        if let Some(bar) = &self.bar {
            bar.set_position(at);
            bar.reset_eta();
        }
    }

    /// What it is at just now, as in a file's name: beside the bar, never a line of its own.
    pub fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    /// The job is done: leaves one line that says how long it took.
    pub fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        note(format!("{}: done in {}", self.title, seconds(self.begun.elapsed())));
    }

    fn report(&self) -> String {
        let elapsed = self.begun.elapsed();
        match left(self.at - self.resumed, self.total.saturating_sub(self.resumed), elapsed) {
            Some(left) => {
                format!("{}: {} of about {}, some {} left", self.title, self.at, self.total, seconds(left))
            }
            None => format!("{}: {} so far", self.title, seconds(elapsed)),
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = with(|shared| shared.bars.add(ProgressBar::new_spinner()));
    bar.set_style(style("{spinner} {prefix} [{elapsed}] {wide_msg}"));
    bar.set_prefix(title.to_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn bar_style() -> ProgressStyle {
    style("{spinner} {prefix} {bar:30} {pos}/{len} [{elapsed}, {eta} left] {wide_msg}").progress_chars("=> ")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The time that is left if the rest goes on as it went so far.
fn left(at: u64, total: u64, elapsed: Duration) -> Option<Duration> {
    (at > 0 && total >= at).then(|| elapsed.mul_f64((total - at) as f64 / at as f64))
}

/// A time as a person says it: `0.4 s`, `12 s`, `5 min 3 s`.
pub fn seconds(time: Duration) -> String {
    match time.as_secs() {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        s @ 10..60 => format!("{s} s"),
        s => format!("{} min {} s", s / 60, s % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_the_pace() {
        assert_eq!(left(0, 10, Duration::from_secs(5)), None);
        assert_eq!(left(5, 10, Duration::from_secs(5)), Some(Duration::from_secs(5)));
        assert_eq!(left(9, 3, Duration::from_secs(5)), None);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(seconds(Duration::from_millis(432)), "0.4 s");
        assert_eq!(seconds(Duration::from_secs(59)), "59 s");
        assert_eq!(seconds(Duration::from_secs(303)), "5 min 3 s");
    }

    #[test]
    fn a_total_that_was_guessed_too_low_grows() {
        let mut job = Job::begin("testing");
        job.set_total(2);
        job.set(5);
        assert_eq!((job.at, job.total), (5, 5));
    }
}

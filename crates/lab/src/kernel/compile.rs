// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make`, watched: progress from the files it builds, the errors that matter, and a place to go on from.
//!
//! kbuild compiles the kernel's Rust support before anything else, and most of that is one crate after another: half
//! a minute in which one processor waits. So a first pass compiles a part of the C side meanwhile: `make` of a folder
//! with `CONFIG_RUST` taken away, which only leaves Rust out of what must be ready before ([`Pass::Files`]).

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use super::Plan;
use super::build::{jobs, make};
use crate::error::{Context, Error, Kind, Result};
use crate::process::Failure;
use crate::progress::Job;

/// How many of the lines that tell of an error are shown.
const SHOWN: usize = 20;

/// A folder without Rust that takes longer to compile than the kernel's Rust support.
const FILES: &str = "fs/";

/// The C compiler, spared what is for messages only: to remember of each token by which macros it came about (a twelfth
/// of its work on a file of the kernel), and the two warnings that are dear (a twentieth: one reads the source's lines
/// again for their indentation). In KCFLAGS bindgen would see the first, whose clang has no such flag.
const FEW_MESSAGES: &str = "CC=gcc -ftrack-macro-expansion=0 -Wno-misleading-indentation -Wno-sequence-point";

/// The Rust compiler, told to make one piece of each library that the procedural macros stand on, as the kernel's own
/// crates are: in the usual sixteen pieces, `syn` takes twice the work. make expands it for each target.
const UNDIVIDED: &str = "RUSTC=rustc$(if $(filter %.rlib,$@), -Ccodegen-units=1)";

/// One run of `make`.
#[derive(Clone, Copy)]
enum Pass {
    /// The folder of C that needs no Rust.
    Files,
    /// What comes before the kernel's objects, its Rust support among it.
    Rust,
    /// The kernel and its modules: all that is left.
    Whole,
}

impl Pass {
    fn goals(self) -> &'static [&'static str] {
        match self {
            Self::Files => &["CONFIG_RUST=", FILES],
            Self::Rust => &["prepare"],
            Self::Whole => &["vmlinux", "modules"],
        }
    }
}

/// Builds the kernel of `plan` in `objects`; `done` steps of it are there. The whole output goes to `build.log` in `dir`.
pub(super) fn compile(plan: &Plan, dir: &Path, objects: &Path, done: u64) -> Result<()> {
    let mut job = Job::begin(format!("building {}", plan.what));
    job.set_total(plan.recipe.steps(plan.profile).max(done));
    job.resume_at(done);
    let log = dir.join("build.log");
    File::create(&log).context(Kind::Lab, || format!("cannot create {}", log.display()))?;
    let seen = Mutex::new(Seen { job, errors: Vec::new() });
    let build = Build { plan, objects, log, seen };
    build.side_by_side().and_then(|()| build.pass(Pass::Whole, |_| {})).map_err(|e| build.explain(e))?;
    build.seen.into_inner().unwrap_or_else(PoisonError::into_inner).job.done();
    Ok(())
}

struct Build<'a> {
    plan: &'a Plan,
    objects: &'a Path,
    log: PathBuf,
    seen: Mutex<Seen>,
}

/// What the lines have told so far.
struct Seen {
    job: Job,
    errors: Vec<String>,
}

impl Build<'_> {
    /// Rust and files at once. Both passes bring the same generated files up to date when they begin, so the second one
    /// begins when the first is past that: at its first file.
    fn side_by_side(&self) -> Result<()> {
        let (begun, has_begun) = mpsc::channel();
        thread::scope(|scope| {
            let files = scope.spawn(move || {
                self.pass(Pass::Files, |file| {
                    if file.starts_with(FILES) {
                        // Nobody listens any more from the second file on.
                        let _ = begun.send(());
                    }
                })
            });
            // A pass with nothing to do, or that fails, ends without a word.
            let _ = has_begun.recv();
            drop(has_begun);
            let rust = self.pass(Pass::Rust, |_| {});
            let files = files.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            files.and(rust)
        })
    }

    fn pass(&self, pass: Pass, mut on_file: impl FnMut(&str)) -> Result<()> {
        make(self.plan, self.objects)?
            .args(self.compiler())
            .arg(UNDIVIDED)
            .arg(format!("-j{}", jobs()))
            .args(pass.goals())
            .log_to(&self.log)
            .on_line(|_, line| {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                match step(line) {
                    Some(file) => {
                        seen.job.step();
                        seen.job.detail(file);
                        on_file(file);
                    }
                    None if tells_an_error(line) && seen.errors.len() < SHOWN => {
                        seen.errors.push(line.to_owned());
                    }
                    None => {}
                }
            })
            .run()
    }

    /// Another compiler than make would take, where that may be: not where the source is being worked on, as its author
    /// wants whole messages, and not with clang, which remembers less anyway.
    fn compiler(&self) -> Option<&'static str> {
        (self.plan.state().is_none() && self.plan.llvm.is_none()).then_some(FEW_MESSAGES)
    }

    fn explain(&self, error: Error) -> Error {
        let failure = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<Failure>());
        let Some(failure) = failure.filter(|_| error.kind() == Kind::Build) else { return error };
        let lines = self.seen.lock().unwrap_or_else(PoisonError::into_inner).errors.clone();
        let tail = if lines.is_empty() { failure.tail.clone() } else { lines };
        Error::new(Kind::Build, format!("{} did not build", self.plan.what))
            .with_help(format!(
                "the whole output of make is in {}; the next run goes on from there",
                self.log.display()
            ))
            .with_source(Failure { status: failure.status, tail })
    }
}

/// The file in a line as kbuild prints it for each: `  CC      lib/sort.o`.
fn step(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("  ")?;
    let (verb, file) = rest.split_once(' ')?;
    let known =
        !verb.is_empty() && verb.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    // `  RUSTC L rust/core.o` marks a library.
    known.then(|| file.trim_start_matches("[M]").split_whitespace().last().unwrap_or_default())
}

fn tells_an_error(line: &str) -> bool {
    ["error:", "error[", "Error ", "fatal:", "undefined reference", "***"].iter().any(|w| line.contains(w))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_kbuild_are_told_from_others() {
        assert_eq!(step("  CC      lib/sort.o"), Some("lib/sort.o"));
        assert_eq!(step("  RUSTC L rust/core.o"), Some("rust/core.o"));
        assert_eq!(step("  CC [M]  drivers/block/brd.o"), Some("drivers/block/brd.o"));
        assert_eq!(step("make[1]: Entering directory"), None);
        assert_eq!(step("  ok so far"), None);
    }

    #[test]
    fn errors_are_told_from_warnings() {
        assert!(tells_an_error("lib/sort.c:1:2: error: expected ';'"));
        assert!(tells_an_error("make[2]: *** [Makefile:1: x] Error 1"));
        assert!(tells_an_error("error[E0308]: mismatched types"));
        assert!(!tells_an_error("lib/sort.c:1:2: warning: unused"));
        assert!(!tells_an_error("  CC      lib/error-inject.o"));
    }
}

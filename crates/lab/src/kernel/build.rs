// SPDX-License-Identifier: MIT OR Apache-2.0
//! `make`, watched: progress from the files it builds, the errors that matter, and a place to go on from.

use std::path::Path;

use super::{ABOUT, About, BUILD, Plan, config, install};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::process::{Command, Failure, find_program};
use crate::progress::Job;

/// How many of the lines that tell of an error are shown.
const SHOWN: usize = 20;

/// Programs without which `make` would fail in the middle, and the Debian package of each.
const PROGRAMS: [(&str, &str); 8] = [
    ("make", "make"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("xz", "xz-utils"),
    ("depmod", "kmod"),
];

/// An error of [`Kind::Need`] that names every missing program and the packages that have them.
pub(super) fn need_tools() -> Result<()> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| find_program(program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names = |f: fn(&(&'static str, &'static str)) -> &'static str| {
        missing.iter().map(|m| f(m)).collect::<Vec<_>>()
    };
    let message = format!("a kernel cannot be built without {}", names(|m| m.0).join(", "));
    Err(Error::new(Kind::Need, message).with_help(format!("apt-get install {}", names(|m| m.1).join(" "))))
}

/// Builds the kernel in `dir`, a cache entry's folder, going on with what is there.
pub(super) fn build(cache: &Cache, plan: &Plan, dir: &Path) -> Result<()> {
    let objects = dir.join(BUILD);
    files::create_dir(&objects)?;
    let done = built(&objects)?;
    if done == 0 {
        cache.need_space(plan.recipe.space.build << 20, &plan.what)?;
    }
    files::remove(&dir.join(ABOUT))?;
    if let Some(ours) = &plan.builtin {
        ours.lay_out(&plan.tree(), &plan.source.dir)?;
    }
    let configured = configure(plan, &objects);
    if configured.is_err() && done == 0 {
        // Another configuration is another entry: nobody would come back for what is in this one.
        files::remove(&objects)?;
    }
    configured?;
    compile(plan, dir, &objects, done)?;
    let release = files::read(&objects.join("include/config/kernel.release"))?.trim().to_owned();
    install::modules(plan, dir, &objects, &release)?;
    let state = plan.state();
    if state.is_none() {
        // What changes is built again and again: its objects are what makes that quick.
        install::prune(&objects)?;
    }
    let about = About {
        release,
        profile: plan.profile,
        source: plan.tree(),
        state,
        llvm: plan.llvm.clone(),
        builtin: plan.builtin.as_ref().map(|b| b.drivers.clone()).unwrap_or_default(),
    };
    about.write(dir)
}

/// Makes `.config` in `objects` and verifies it.
pub(super) fn configure(plan: &Plan, objects: &Path) -> Result<()> {
    let fragment = objects.join(".blockyard.config");
    files::write(&fragment, config::merged(&plan.fragments))?;
    make(plan, objects)?
        .env("KCONFIG_ALLCONFIG", &fragment)
        .arg("allnoconfig")
        .run()
        .context(Kind::Config, || "the kernel's configuration could not be made")?;
    config::verify(&plan.fragments, &files::read(&objects.join(".config"))?, &plan.source.dir)
}

/// `make` for this plan, in this folder of objects.
pub(super) fn make<'a>(plan: &Plan, objects: &Path) -> Result<Command<'a>> {
    let mut output = std::ffi::OsString::from("O=");
    output.push(objects);
    let command = plan.toolchain.make()?.arg("-C").arg(plan.tree()).arg(output);
    Ok(match &plan.llvm {
        Some(llvm) => command.arg(format!("LLVM={llvm}")),
        None => command,
    })
}

fn compile(plan: &Plan, dir: &Path, objects: &Path, done: u64) -> Result<()> {
    let mut job = Job::begin(format!("building {}", plan.what));
    job.set_total(plan.recipe.steps(plan.profile).max(done));
    job.resume_at(done);
    let log = dir.join("build.log");
    let mut errors = Vec::new();
    let result = make(plan, objects)?
        .arg(format!("-j{}", jobs()))
        .args(["bzImage", "modules"])
        .log_to(&log)
        .on_line(|_, line| match step(line) {
            Some(file) => {
                job.step();
                job.detail(file);
            }
            None if tells_an_error(line) && errors.len() < SHOWN => errors.push(line.to_owned()),
            None => {}
        })
        .run();
    result.map_err(|e| explain(e, plan, errors, &log))?;
    job.done();
    Ok(())
}

/// How many jobs `make` runs at once: one more than there are processors, for those that wait for the disk.
pub(crate) fn jobs() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) + 1
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

fn explain(error: Error, plan: &Plan, lines: Vec<String>, log: &Path) -> Error {
    let failure = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<Failure>());
    let Some(failure) = failure.filter(|_| error.kind() == Kind::Build) else { return error };
    let tail = if lines.is_empty() { failure.tail.clone() } else { lines };
    Error::new(Kind::Build, format!("{} did not build", plan.what))
        .with_help(format!(
            "the whole output of make is in {}; the next run goes on from there",
            log.display()
        ))
        .with_source(Failure { status: failure.status, tail })
}

/// About how many steps an earlier run has done: kbuild writes a `.NAME.cmd` for each.
fn built(objects: &Path) -> Result<u64> {
    let mut count = 0;
    for path in files::children(objects)? {
        if path.is_dir() && !path.is_symlink() {
            count += built(&path)?;
        } else if path.extension().is_some_and(|e| e == "cmd") {
            count += 1;
        }
    }
    Ok(count)
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

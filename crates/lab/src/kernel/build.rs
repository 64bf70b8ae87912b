// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a plan to a kernel in the cache: its configuration, `make` ([`compile`]), its modules, and what it is.

use std::path::Path;

use super::{ABOUT, About, BUILD, Plan, compile, config, install};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::process::{Command, find_program};

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
    plan.lay_out()?;
    let configured = configure(plan, &objects);
    if configured.is_err() && done == 0 {
        // Another configuration is another entry: nobody would come back for what is in this one.
        files::remove(&objects)?;
    }
    configured?;
    compile::compile(plan, dir, &objects, done)?;
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
        source: plan.tree.clone(),
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
        .arg(format!("-j{}", jobs()))
        .arg("allnoconfig")
        .run()
        .context(Kind::Config, || "the kernel's configuration could not be made")?;
    config::verify(&plan.fragments, &files::read(&objects.join(".config"))?, &plan.source.dir)
}

/// `make` for this plan, in this folder of objects.
pub(super) fn make<'a>(plan: &Plan, objects: &Path) -> Result<Command<'a>> {
    let mut output = std::ffi::OsString::from("O=");
    output.push(objects);
    let command = plan.toolchain.make()?.arg("-C").arg(&plan.tree).arg(output);
    Ok(match &plan.llvm {
        Some(llvm) => command.arg(format!("LLVM={llvm}")),
        None => command,
    })
}

/// How many jobs `make` runs at once: one more than there are processors, for those that wait for the disk.
pub(crate) fn jobs() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) + 1
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `menuconfig`, whose result is a fragment: what was changed, and nothing else.

use std::io::IsTerminal;
use std::path::Path;

use super::{KernelSpec, Plan, build, config};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::files;

/// Opens the kernel's menu on the configuration of `spec`, and writes the options that were changed to the file
/// `fragment`, after those that it held. Returns how many were changed.
pub fn menuconfig(spec: &KernelSpec, fragment: &Path) -> Result<usize> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(Error::new(Kind::Usage, "menuconfig needs a terminal")
            .with_help("write the options into a file and pass it with --config"));
    }
    let fragment = config::absolute(fragment);
    let plan = Plan::new(&Cache::open()?, &with_existing(spec, &fragment))?;
    let objects = tempfile::tempdir().context(Kind::Lab, || "cannot make a temporary folder")?;
    build::configure(&plan, objects.path())?;
    let before = files::read(&objects.path().join(".config"))?;
    build::make(&plan, objects.path())?
        .arg("menuconfig")
        .run_in_foreground()
        .map_err(|e| e.with_help("if it says that ncurses is missing: apt-get install libncurses-dev"))?;
    let changes = config::difference(&before, &files::read(&objects.path().join(".config"))?);
    if !changes.is_empty() {
        let old = if fragment.exists() { files::read(&fragment)? } else { String::new() };
        files::write(&fragment, old + &changes)?;
    }
    Ok(changes.lines().count())
}

/// A fragment that an earlier menuconfig wrote is where this one goes on.
fn with_existing(spec: &KernelSpec, fragment: &Path) -> KernelSpec {
    let mut spec = spec.clone();
    let known = spec.fragments.iter().any(|f| config::absolute(f) == fragment);
    if fragment.exists() && !known {
        spec.fragments.push(fragment.to_owned());
    }
    spec
}

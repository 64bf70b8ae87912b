// SPDX-License-Identifier: MIT OR Apache-2.0
//! `menuconfig`, whose result is a fragment: what was changed, and nothing else.

use std::io::IsTerminal;

use super::{KernelSpec, Plan, build, config};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::files;

/// Opens the kernel's menu on the configuration of `spec`. Returns the options that were changed, as a fragment to pass
/// with `--config`; empty if none was.
pub fn menuconfig(spec: &KernelSpec) -> Result<String> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::new(Kind::Usage, "menuconfig needs a terminal")
            .with_help("write the options into a file and pass it with --config"));
    }
    let plan = Plan::of_options(&Cache::open()?, spec)?;
    let objects = tempfile::tempdir().context(Kind::Lab, || "cannot make a temporary folder")?;
    build::configure(&plan, objects.path())?;
    let config = objects.path().join(".config");
    let before = files::read(&config)?;
    let missing = "if it says that ncurses is missing: apt-get install libncurses-dev";
    build::make(&plan, objects.path())?
        .arg("menuconfig")
        .run_in_foreground()
        .map_err(|e| e.with_help(missing))?;
    Ok(config::difference(&before, &files::read(&config)?))
}

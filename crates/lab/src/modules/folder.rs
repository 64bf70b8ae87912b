// SPDX-License-Identifier: MIT OR Apache-2.0
//! Anybody's modules: a folder with a Kbuild file or Makefile, in C or in Rust.

use std::path::{Path, PathBuf};

use super::{Module, assign, checks, diagnostics, keep, make};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::kernel::Kernel;
use crate::process::Stream;
use crate::toolchain::Toolchain;

/// Builds every module of `folder` against the kernel. Nothing is written into the folder; the built files live as
/// long as the returned values.
pub fn build_folder(kernel: &Kernel, folder: &Path) -> Result<Vec<Module>> {
    let folder = folder
        .canonicalize()
        .context(Kind::NotFound, || format!("there is no folder {}", folder.display()))?;
    if !["Kbuild", "Makefile"].iter().any(|name| folder.join(name).is_file()) {
        let message = format!("{} has no Kbuild file and no Makefile", folder.display());
        return Err(Error::new(Kind::Usage, message)
            .with_help("a file Kbuild with the line `obj-m := NAME.o` will do"));
    }
    let cache = Cache::open()?;
    let toolchain = Toolchain::ensure(&cache)?;
    let clang = checks::check(&kernel.kdir(), &toolchain)?.clang;
    let out = tempfile::Builder::new().prefix("blockyard-modules-").tempdir();
    let out = out.context(Kind::Lab, || "cannot make a temporary folder for the modules")?;
    let mut shown = diagnostics::Diagnostics::default();
    let result = make(&toolchain, &kernel.kdir(), clang)?
        .arg(assign("M=", &folder))
        .arg(assign("MO=", out.path()))
        .arg("modules")
        .on_line(|stream: Stream, line: &str| shown.line(stream, line))
        .run();
    result.map_err(|e| diagnostics::explain(e, &shown, &folder.display().to_string()))?;
    let found =
        files::children(out.path())?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "ko"));
    let modules = found.map(|path| kept(&cache, path)).collect::<Result<Vec<_>>>()?;
    if modules.is_empty() {
        return Err(Error::new(Kind::Build, format!("{} made no module", folder.display())));
    }
    Ok(modules)
}

/// The folder that it was built in goes with this call, so the copy is all there is of it.
fn kept(cache: &Cache, built: PathBuf) -> Result<Module> {
    let module = keep(cache, built)?;
    Ok(Module { built: module.path.clone(), ..module })
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel modules in Rust, built against a kernel: ours or any that was built with Rust.
//!
//! kbuild does the work, in a folder of the cache that belongs to the pair of kernel and source tree, so that one
//! changed line costs a second and nothing is written among the sources. Before it runs, what would fail in its
//! middle with a riddle is looked at and named ([`checks`]).

mod checks;
mod diagnostics;
mod folder;
mod format;
mod ide;
mod stamp;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::folder::build_folder;
pub use self::format::check_format;
pub use self::ide::write_project as write_ide_project;
use self::stamp::{Inputs, Stamp};
use crate::cache::{Cache, Guard, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::kernel::Kernel;
use crate::process::{Command, Stream};
use crate::toolchain::{self, Toolchain};
use crate::{files, workspace};

/// The kind of the cache's workspaces.
pub(crate) const KIND: &str = "modules";
/// The kind of the entries that hold one built module each.
pub(crate) const FILES: &str = "module-files";

/// A built module. Its file is a copy in the cache, named by its content, so that a build at the same time cannot change
/// it under a guest; it is there as long as this value and its clones, and removed by a later build. (Not a temporary
/// file: tests keep modules in statics, which are never dropped.)
#[derive(Debug, Clone)]
pub struct Module {
    name: String,
    path: PathBuf,
    built: PathBuf,
    _lease: Arc<Lease>,
}

impl Module {
    /// The module's name, as lsmod shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `.ko` file, there as long as this value or a clone of it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `.ko` where kbuild left it: stays after us, and the next build changes it.
    pub fn built_at(&self) -> &Path {
        &self.built
    }
}

/// A build of our drivers against one kernel. Without a name added to it, it builds all that are not built in there.
#[derive(Debug)]
pub struct Build {
    kdir: PathBuf,
    sources: Option<PathBuf>,
    drivers: Vec<String>,
    /// Those that the kernel has in its image: no module of that name can be loaded.
    builtin: Vec<String>,
    /// What tells of the kernel, if it is the lab's.
    about: Option<PathBuf>,
}

impl Build {
    /// Against a kernel of the lab.
    pub fn new(kernel: &Kernel) -> Self {
        let (builtin, about) = (kernel.builtin().to_vec(), Some(kernel.about()));
        Self { builtin, about, ..Self::for_kdir(kernel.kdir()) }
    }

    /// Against the kernel whose build folder this is, as in `/lib/modules/RELEASE/build`.
    pub fn for_kdir(kdir: impl Into<PathBuf>) -> Self {
        Self { kdir: kdir.into(), sources: None, drivers: Vec::new(), builtin: Vec::new(), about: None }
    }

    /// Builds from this folder instead of our own `kernel`: a copy of it, with other drivers.
    #[must_use]
    pub fn sources(mut self, kernel_side: impl Into<PathBuf>) -> Self {
        self.sources = Some(kernel_side.into());
        self
    }

    /// Adds a driver by name.
    #[must_use]
    pub fn driver(mut self, name: impl Into<String>) -> Self {
        self.drivers.push(name.into());
        self
    }

    /// Builds. The compiler's messages go to standard error as they are.
    pub fn run(self) -> Result<Vec<Module>> {
        let job = Job::prepare(&self)?;
        let inputs = self
            .about
            .as_ref()
            .map(|about| Inputs::of(&job.source, about, &job.toolchain.identity()))
            .transpose()?;
        let (dir, _guard) = job.workspace("build")?;
        if !inputs.as_ref().is_some_and(|inputs| inputs.made(&dir, &job.names)) {
            let before = Stamp::take(&dir)?;
            job.make(&dir, "modules", |make| make)?;
            if let Some(inputs) = inputs {
                inputs.note(&dir, &job.names, before)?;
            }
        }
        // What nobody holds any more; a build is when such files come to be.
        job.cache.clean(FILES)?;
        job.names.iter().map(|name| keep(&job.cache, dir.join(format!("{name}.ko")))).collect()
    }

    /// Runs clippy over the drivers and all that they stand on; any warning is an error.
    pub fn clippy(self) -> Result<()> {
        let job = Job::prepare(&self)?;
        if !job.toolchain.sysroot().join("bin/clippy-driver").is_file() {
            return Err(
                Error::new(Kind::Need, "clippy is not installed").with_help("rustup component add clippy")
            );
        }
        // A folder of its own: objects of either would be out of date for the other.
        let (dir, _guard) = job.workspace("clippy")?;
        job.make(&dir, "modules", |make| make.args(["CLIPPY=1", "KRUSTFLAGS=-Dwarnings"]))
    }

    /// Makes the source of the crate `kit_bindings`, which bindgen writes, and returns its path.
    fn bindings(self) -> Result<PathBuf> {
        let job = Job::prepare(&self)?;
        let (dir, _guard) = job.workspace("build")?;
        job.make(&dir, "bindings/kit_bindings.o", |make| make)?;
        Ok(dir.join("bindings/kit_bindings.rs"))
    }
}

/// A build whose parts were all found.
struct Job {
    cache: Cache,
    toolchain: Toolchain,
    kdir: PathBuf,
    clang: bool,
    source: PathBuf,
    names: Vec<String>,
}

impl Job {
    fn prepare(build: &Build) -> Result<Self> {
        let source = match &build.sources {
            Some(folder) => folder.clone(),
            None => workspace::kernel_side()?,
        };
        let mut names = choose(&source, &build.drivers)?;
        if build.drivers.is_empty() {
            names.retain(|name| !build.builtin.contains(name));
        }
        let no_kdir = || format!("there is no kernel build folder {}", build.kdir.display());
        let kdir = build.kdir.canonicalize().context(Kind::NotFound, no_kdir)?;
        let cache = Cache::open()?;
        let toolchain = Toolchain::ensure(&cache)?;
        let clang = checks::check(&kdir, &toolchain)?.clang;
        Ok(Self { cache, toolchain, kdir, clang, source, names })
    }

    /// The folder that builds of this purpose work in, held.
    fn workspace(&self, purpose: &str) -> Result<(PathBuf, Guard)> {
        let key =
            Key::new(purpose).with("kdir", path_bytes(&self.kdir)).with("source", path_bytes(&self.source));
        let reasons = [self.kdir.as_path(), self.source.as_path()];
        self.cache.workspace(KIND, &key, &reasons, &format!("the drivers ({purpose})"))
    }

    /// Runs make in such a folder.
    fn make(&self, dir: &Path, target: &str, adjust: impl FnOnce(Command<'_>) -> Command<'_>) -> Result<()> {
        let mut shown = diagnostics::Diagnostics::default();
        let make = make(&self.toolchain, &self.kdir, self.clang)?
            .arg(assign("M=", &self.source))
            .arg(assign("MO=", dir))
            .arg(format!("-j{}", crate::kernel::jobs()))
            .arg(format!("DRIVERS={}", self.names.join(" ")))
            .arg(target);
        let result = adjust(make).on_line(|stream: Stream, line: &str| shown.line(stream, line)).run();
        result.map_err(|e| diagnostics::explain(e, &shown, &self.names.join(", "))).map(drop)
    }
}

/// The drivers that were asked for, or all.
pub(crate) fn choose(source: &Path, wanted: &[String]) -> Result<Vec<String>> {
    let known = drivers_in(source)?;
    if let Some(unknown) = wanted.iter().find(|w| !known.contains(w)) {
        return Err(Error::new(Kind::Usage, format!("there is no driver `{unknown}`"))
            .with_help(format!("the drivers are: {}", known.join(", "))));
    }
    Ok(if wanted.is_empty() { known } else { wanted.to_vec() })
}

/// Names of the drivers, which are the folders of `kernel/drivers` with a file of their name in them.
pub fn drivers() -> Result<Vec<String>> {
    drivers_in(&workspace::kernel_side()?)
}

fn drivers_in(source: &Path) -> Result<Vec<String>> {
    let folders = files::children(&source.join("drivers"))?.into_iter();
    let named = folders.filter_map(|f| Some((f.file_name()?.to_str()?.to_owned(), f)));
    Ok(named
        .filter(|(name, folder)| folder.join(format!("{name}.rs")).is_file())
        .map(|(name, _)| name)
        .collect())
}

/// A `make` that runs in the kernel's build folder.
fn make<'a>(toolchain: &Toolchain, kdir: &Path, clang: bool) -> Result<Command<'a>> {
    let make = toolchain.make()?.arg("-C").arg(kdir);
    Ok(if clang { make.arg(format!("LLVM={}", toolchain::find_llvm()?.make_value)) } else { make })
}

/// Copies a built `.ko` into the cache.
fn keep(cache: &Cache, built: PathBuf) -> Result<Module> {
    let no_module = || format!("kbuild made no {}", built.display());
    let content = std::fs::read(&built).context(Kind::Build, no_module)?;
    // As the kernel does: in a module's name a dash is an underscore.
    let name = built.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_");
    let file = built.file_name().unwrap_or_default();
    let entry = cache.entry(FILES, &Key::new(&name).with("content", &content))?;
    let make = |dir: &Path| files::write(&dir.join(file), &content);
    let lease = entry.get_or_make(&format!("the module {name}"), make)?;
    let path = lease.join(file);
    Ok(Module { name, path, built, _lease: Arc::new(lease) })
}

fn path_bytes(path: &Path) -> &[u8] {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes()
}

fn assign(name: &str, path: &Path) -> std::ffi::OsString {
    let mut argument = std::ffi::OsString::from(name);
    argument.push(path);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_the_folders_with_a_crate_of_their_name() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["drivers/one", "drivers/two", "drivers/notes"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["drivers/one/one.rs", "drivers/two/two.rs", "drivers/notes/README", "drivers/stray.rs"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        assert_eq!(drivers_in(dir.path()).unwrap(), ["one", "two"]);
    }

    #[test]
    fn an_unknown_driver_is_answered_with_the_known_ones() {
        let error = Build::for_kdir("/").driver("no-such-driver").run().unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.help().unwrap().contains("simblk"));
    }

    #[test]
    fn a_kernel_build_folder_that_is_not_there_is_named() {
        let error = Build::for_kdir("/no/such/kdir").run().unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.to_string().contains("/no/such/kdir"));
    }
}

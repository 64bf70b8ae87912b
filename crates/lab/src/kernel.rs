// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels with Rust, built from source with our configuration, once.
//!
//! No distribution's kernel serves: none ships the metadata that Rust modules compile against. So the lab
//! builds one: source ([`source`]), configuration that is verified ([`config`]), objects ([`build`]). It takes
//! minutes, so the result is cached by everything that went in, a build goes on where an interrupt stopped it,
//! and [`Kernel::ensure`] returns at once the next time.
//!
//! On disk an entry is `build/` (kbuild's `O=` folder, what modules compile against), `modules/` (the tree
//! `lib/modules/RELEASE`, with depmod's files), `kernel.json` and `build.log`. The objects that only the kernel's own
//! link needed are removed: half a gigabyte becomes a fifth of that.

mod build;
mod builtin;
mod compile;
mod config;
mod install;
mod instrumented;
mod kconfig;
mod menu;
mod recipe;
mod source;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use self::build::jobs;
use self::builtin::Builtin;
use self::config::Fragment;
pub use self::menu::menuconfig;
pub(crate) use self::recipe::Recipe;
use self::source::Source;
use crate::cache::{Cache, Cleaned, Entry, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::toolchain::{self, Toolchain};

/// What a kernel is built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Small and fast.
    #[default]
    Base,
    /// Every check that the kernel can make of itself: KASAN, lockdep, kmemleak and more. Built with clang, without
    /// which KASAN and Rust do not go together.
    Debug,
    /// KCSAN, which finds data races, in the kernel's C and in our Rust, which the kernel's own build leaves out.
    Kcsan,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Base => "base",
            Self::Debug => "debug",
            Self::Kcsan => "kcsan",
        })
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "base" => Ok(Self::Base),
            "debug" => Ok(Self::Debug),
            "kcsan" => Ok(Self::Kcsan),
            _ => Err(Error::new(Kind::Usage, format!("there is no kernel profile `{text}`"))
                .with_help("the profiles are base, debug and kcsan")),
        }
    }
}

/// Which kernel is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelSpec {
    /// The profile.
    pub profile: Profile,
    /// The series, as in `7.3`; without one, the newest that the yard knows.
    pub series: Option<String>,
    /// A folder or a tar archive with the source; else Debian's package of the series.
    pub source: Option<PathBuf>,
    /// Fragments of configuration, on top of the profile's; what a later one says holds.
    pub fragments: Vec<PathBuf>,
    /// Drivers of ours that are part of the kernel's image instead of modules.
    pub builtin: Vec<String>,
}

impl KernelSpec {
    /// This profile of the newest series.
    pub fn profile(profile: Profile) -> Self {
        Self { profile, ..Self::default() }
    }
}

/// A built kernel, kept in the cache for as long as this value lives.
#[derive(Debug)]
pub struct Kernel {
    about: About,
    dir: Lease,
    _source: Option<Lease>,
}

/// What `kernel.json` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    release: String,
    profile: Profile,
    source: PathBuf,
    /// The state of a source folder that may change under us, when it was built.
    state: Option<String>,
    llvm: Option<String>,
    #[serde(default)]
    builtin: Vec<String>,
}

impl Kernel {
    /// The kernel, from the user's cache or else built now.
    pub fn ensure(spec: &KernelSpec) -> Result<Self> {
        Self::ensure_in(&Cache::open()?, spec)
    }

    /// As [`ensure`](Self::ensure), in this cache.
    pub fn ensure_in(cache: &Cache, spec: &KernelSpec) -> Result<Self> {
        let plan = Plan::new(cache, spec)?;
        let dir = match plan.entry.get(&plan.what)? {
            Some(dir) if plan.state() == About::read(&dir)?.state => dir,
            Some(stale) => {
                drop(stale);
                plan.entry.refresh(&plan.what, |dir| build::build(cache, &plan, dir))?
            }
            None => plan.entry.get_or_resume(&plan.what, |dir| build::build(cache, &plan, dir))?,
        };
        Ok(Self { about: About::read(&dir)?, dir, _source: plan.source.lease })
    }

    /// The kernel if it is built, and nothing else is done. (What decides its key, as in the source, is still fetched.)
    pub fn find(spec: &KernelSpec) -> Result<Option<Self>> {
        let plan = Plan::new(&Cache::open()?, spec)?;
        let Some(dir) = plan.entry.get(&plan.what)? else { return Ok(None) };
        Ok(Some(Self { about: About::read(&dir)?, dir, _source: plan.source.lease }))
    }

    /// Its release, as `uname -r` tells it.
    pub fn release(&self) -> &str {
        &self.about.release
    }

    /// Its profile.
    pub fn profile(&self) -> Profile {
        self.about.profile
    }

    /// The drivers of ours that are part of its image.
    pub fn builtin(&self) -> &[String] {
        &self.about.builtin
    }

    /// The cache entry's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The image that QEMU boots: the kernel as it was linked, entered by PVH (`xen/interface/elfnote.h`), so that no
    /// boot has to decompress it.
    pub fn image(&self) -> PathBuf {
        self.kdir().join("vmlinux")
    }

    /// The folder that external modules are built against, as in `make -C KDIR M=...`.
    pub fn kdir(&self) -> PathBuf {
        self.dir.join(BUILD)
    }

    /// A tree with `lib/modules/RELEASE`, depmod done.
    pub fn modules_dir(&self) -> PathBuf {
        self.dir.join(MODULES)
    }

    /// Addresses of its symbols.
    pub fn system_map(&self) -> PathBuf {
        self.kdir().join("System.map")
    }

    /// The source that it was built from.
    pub fn source_dir(&self) -> &Path {
        &self.about.source
    }

    /// The file that tells how it was built, written when it was.
    pub(crate) fn about(&self) -> PathBuf {
        self.dir.join(ABOUT)
    }

    /// The value of `LLVM=` that it was built with, which its modules must be built with too.
    pub fn llvm(&self) -> Option<&str> {
        self.about.llvm.as_deref()
    }
}

/// The text of the final, verified configuration; from the built kernel if there is one.
pub fn config(spec: &KernelSpec) -> Result<String> {
    let cache = Cache::open()?;
    let plan = Plan::of_options(&cache, spec)?;
    if let Some(dir) = plan.entry.get(&plan.what)? {
        return files::read(&dir.join(BUILD).join(".config"));
    }
    let scratch = tempfile::tempdir().context(Kind::Lab, || "cannot make a temporary folder")?;
    build::configure(&plan, scratch.path())?;
    files::read(&scratch.path().join(".config"))
}

/// Removes every built kernel, and what was built against it, that nobody uses; with `all`, everything else in the cache
/// too.
pub fn clean(all: bool) -> Result<Cleaned> {
    let cache = Cache::open()?;
    let built = [KERNELS, crate::modules::KIND, crate::modules::FILES].map(str::to_owned);
    let kinds = if all { cache.kinds()? } else { built.to_vec() };
    let mut sum = Cleaned::default();
    for kind in kinds {
        let one = cache.clean(&kind)?;
        sum.bytes += one.bytes;
        sum.removed.extend(one.removed);
        sum.in_use.extend(one.in_use);
    }
    Ok(sum)
}

const KERNELS: &str = "kernel";
const BUILD: &str = "build";
const MODULES: &str = "modules";
const ABOUT: &str = "kernel.json";
const TREE: &str = "tree";

impl About {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(ABOUT);
        serde_json::from_str(&files::read(&path)?)
            .context(Kind::Lab, || format!("{} is damaged", path.display()))
    }

    fn write(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context(Kind::Lab, || "cannot describe the kernel")?;
        files::write(&dir.join(ABOUT), text)
    }
}

/// Everything that decides what a kernel is, before it is built.
struct Plan {
    what: String,
    recipe: Recipe,
    profile: Profile,
    toolchain: Toolchain,
    llvm: Option<String>,
    source: Source,
    fragments: Vec<Fragment>,
    builtin: Option<Builtin>,
    /// A file of the source, and what is to be in it instead.
    target: Option<(&'static str, String)>,
    /// What `make` runs in: the source, or a tree with something of ours in it.
    tree: PathBuf,
    entry: Entry,
}

impl Plan {
    fn new(cache: &Cache, spec: &KernelSpec) -> Result<Self> {
        // Cheap checks first: nobody wants to hear of a typing error after a download.
        let recipe = Recipe::of_series(spec.series.as_deref())?;
        let fragments = config::fragments(spec, &recipe)?;
        let builtin = Builtin::new(&spec.builtin)?;
        let llvm = match spec.profile {
            Profile::Base | Profile::Kcsan => None,
            Profile::Debug => Some(toolchain::find_llvm()?),
        };
        build::need_tools()?;
        let toolchain = Toolchain::ensure(cache)?;
        let source = Source::ensure(cache, &recipe, spec.source.as_deref())?;
        let compiler = match &llvm {
            Some(llvm) => format!("clang {}", llvm.version),
            None => toolchain::version_line(Path::new("gcc")).unwrap_or_default(),
        };
        let drivers = builtin.iter().flat_map(|b| &b.drivers).map(String::as_str).collect::<Vec<_>>();
        let mut label = format!("{}-{}", source.version, spec.profile);
        let mut what = format!("the kernel {} ({})", source.version, spec.profile);
        if !drivers.is_empty() {
            label = format!("{label}-{}", drivers.join("-"));
            what = format!("the kernel {} ({}, with {})", source.version, spec.profile, drivers.join(", "));
        }
        let key = Key::new(&label)
            .with("layout", "1")
            .with("source", &source.id)
            .with("config", config::merged(&fragments))
            .with("compiler", compiler)
            .with("toolchain", toolchain.identity());
        // Nothing is added for a kernel without any, whose key is older than this.
        let key = drivers.iter().fold(key, |key, driver| key.with("built in", driver));
        // One that we learn to change later is another kernel then.
        let kcsan = spec.profile == Profile::Kcsan;
        let target = if kcsan { instrumented::target(&source.dir)? } else { None };
        let key = if kcsan && target.is_none() { key.with("rust", "not looked at") } else { key };
        let entry = cache.entry(KERNELS, &key)?;
        let llvm = llvm.map(|l| l.make_value);
        let profile = spec.profile;
        let differs = builtin.is_some() || target.is_some();
        let tree = if differs { entry.path().join(TREE) } else { source.dir.clone() };
        Ok(Self { what, recipe, profile, toolchain, llvm, source, fragments, builtin, target, tree, entry })
    }

    /// The same for who only looks at the options: what is ours in the tree, as drivers that are built in, is none.
    fn of_options(cache: &Cache, spec: &KernelSpec) -> Result<Self> {
        let plan = Self::new(cache, &KernelSpec { builtin: Vec::new(), ..spec.clone() })?;
        Ok(Self { tree: plan.source.dir.clone(), ..plan })
    }

    /// Makes the tree what it has to be.
    fn lay_out(&self) -> Result<()> {
        if self.tree == self.source.dir {
            return Ok(());
        }
        let mut ours = tree::Ours::new();
        if let Some(builtin) = &self.builtin {
            builtin.add_to(&mut ours, &self.source.dir)?;
        }
        ours.extend(self.target.iter().map(|(path, content)| (path.into(), content.clone().into_bytes())));
        tree::lay_out(&self.tree, &self.source.dir, &ours)
    }

    /// What of that tree may change without the key; `None` for nothing.
    fn state(&self) -> Option<String> {
        match &self.builtin {
            Some(ours) => Some([self.source.state.as_deref().unwrap_or_default(), &ours.state()].concat()),
            None => self.source.state.clone(),
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's source: Debian's package, a tar archive, or a folder of one's own.
//!
//! An archive is unpacked into the cache without what an x86 guest cannot use (see `leave_out` in `kernel.toml`):
//! some 1.3 GB. A folder is used where it is; whoever works in it wants a rebuild after each change, so its state is
//! looked at ([`state`]) and `make` runs again when that changed.

mod state;

use std::path::{Path, PathBuf};

use super::Recipe;
use crate::apt::{self, Request};
use crate::cache::{Cache, Key, Lease};
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::process::Command;
use crate::progress::Job;

/// The kind of the cache's entries.
pub(super) const KIND: &str = "kernel-source";
/// The tree's folder within an entry.
const TREE: &str = "linux";

/// A source tree.
#[derive(Debug)]
pub(super) struct Source {
    /// Where it is.
    pub(super) dir: PathBuf,
    /// What tells it from others, for the key of what is built from it.
    pub(super) id: String,
    /// The version that its Makefile states, as in `7.3.4`.
    pub(super) version: String,
    /// The state of a folder that may change; `None` for what does not.
    pub(super) state: Option<String>,
    pub(super) lease: Option<Lease>,
}

impl Source {
    /// The source at `from`, or that of the recipe's package.
    pub(super) fn ensure(cache: &Cache, recipe: &Recipe, from: Option<&Path>) -> Result<Self> {
        match from {
            None => Self::package(cache, recipe),
            Some(path) if path.is_dir() => Self::folder(path),
            Some(path) if path.is_file() => Self::archive(cache, recipe, path),
            Some(path) => {
                let message =
                    format!("there is no kernel source at {}: no such file or folder", path.display());
                Err(Error::new(Kind::NotFound, message))
            }
        }
    }

    fn package(cache: &Cache, recipe: &Recipe) -> Result<Self> {
        let package = &recipe.source;
        let key = Key::new(&package.name)
            .with("suites", package.suites.join(" "))
            .with("leave out", recipe.leave_out.join("\n"));
        let what = format!("the source of Linux {}", recipe.series);
        let lease = cache.entry(KIND, &key)?.get_or_make(&what, |dir| {
            cache.need_space(recipe.space.source << 20, &what)?;
            let scratch = dir.join("package");
            files::create_dir(&scratch)?;
            let request = Request::alone(&package.suites, [package.name.as_str()]);
            for deb in apt::fetch_into(cache, &request, &scratch, &what)? {
                deb.unpack(&scratch)?;
            }
            unpack(recipe, &scratch.join(&package.archive), dir, &what)?;
            files::remove(&scratch)
        })?;
        Self::unpacked(lease)
    }

    fn archive(cache: &Cache, recipe: &Recipe, path: &Path) -> Result<Self> {
        let what = format!("the source in {}", path.display());
        let mut hasher = blake3::Hasher::new();
        let file = std::fs::File::open(path)
            .context(Kind::NotFound, || format!("cannot read {}", path.display()))?;
        hasher.update_reader(file).context(Kind::Lab, || format!("cannot read {}", path.display()))?;
        let key = Key::new("archive")
            .with("content", hasher.finalize().as_bytes())
            .with("leave out", recipe.leave_out.join("\n"));
        let lease = cache.entry(KIND, &key)?.get_or_make(&what, |dir| {
            cache.need_space(recipe.space.source << 20, &what)?;
            unpack(recipe, path, dir, &what)
        })?;
        Self::unpacked(lease)
    }

    fn unpacked(lease: Lease) -> Result<Self> {
        let dir = lease.join(TREE);
        let version = version(&dir)?;
        // The entry's name holds the hash of all that went in.
        Ok(Self { id: lease.display().to_string(), dir, version, state: None, lease: Some(lease) })
    }

    fn folder(path: &Path) -> Result<Self> {
        let dir =
            path.canonicalize().context(Kind::NotFound, || format!("cannot reach {}", path.display()))?;
        let version = version(&dir)?;
        if dir.join(".config").exists() || dir.join("include/config").exists() {
            let message =
                format!("{} was built in: kbuild can build elsewhere only from a clean tree", dir.display());
            return Err(
                Error::new(Kind::Usage, message).with_help(format!("make -C {} mrproper", dir.display()))
            );
        }
        let state = Some(state::of(&dir)?);
        Ok(Self { id: dir.display().to_string(), dir, version, state, lease: None })
    }
}

/// Unpacks the archive to the folder [`TREE`] in `dir`.
fn unpack(recipe: &Recipe, archive: &Path, dir: &Path, what: &str) -> Result<()> {
    let job = Job::begin(format!("unpacking {what}"));
    let tree = dir.join(TREE);
    files::create_dir(&tree)?;
    // The archive's own top folder may have any name: `*`, which matches one level alone here.
    let leave_out = recipe.leave_out.iter().map(|p| format!("--exclude=*/{p}"));
    Command::new("tar")
        .args([
            "--extract",
            "--no-same-owner",
            "--strip-components=1",
            "--anchored",
            "--wildcards",
            "--no-wildcards-match-slash",
        ])
        .args(leave_out)
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(&tree)
        .env("XZ_OPT", "-T0")
        .run()
        .map_err(|e| match e.kind() {
            Kind::Lab => {
                Error::new(Kind::Usage, format!("{} is no archive that tar can unpack", archive.display()))
                    .with_source(e)
            }
            _ => e,
        })?;
    version(&tree)?;
    job.done();
    Ok(())
}

/// `VERSION.PATCHLEVEL.SUBLEVELEXTRAVERSION` of the tree's Makefile.
fn version(tree: &Path) -> Result<String> {
    let no_tree =
        || Error::new(Kind::Usage, format!("{} does not hold the source of a kernel", tree.display()));
    if !tree.join("Kconfig").is_file() {
        return Err(no_tree());
    }
    let makefile = files::read(&tree.join("Makefile"))?;
    parse_version(&makefile).ok_or_else(no_tree)
}

fn parse_version(makefile: &str) -> Option<String> {
    let field = |name: &str| {
        let assigned =
            makefile.lines().take(20).find_map(|l| l.strip_prefix(name)?.trim_start().strip_prefix('='));
        assigned.map(str::trim)
    };
    let (major, minor) = (field("VERSION")?, field("PATCHLEVEL")?);
    let patch = field("SUBLEVEL").filter(|s| !s.is_empty()).map(|s| format!(".{s}")).unwrap_or_default();
    Some(format!("{major}.{minor}{patch}{}", field("EXTRAVERSION").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAKEFILE: &str = "# SPDX\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\nNAME = Baby\n";

    fn tree(dir: &Path) {
        std::fs::write(dir.join("Makefile"), MAKEFILE).unwrap();
        std::fs::write(dir.join("Kconfig"), "").unwrap();
    }

    #[test]
    fn the_version_is_read_from_the_makefile() {
        assert_eq!(parse_version(MAKEFILE).as_deref(), Some("7.3.4"));
        assert_eq!(
            parse_version("VERSION = 7\nPATCHLEVEL = 4\nSUBLEVEL = 0\nEXTRAVERSION = -rc1\n").as_deref(),
            Some("7.4.0-rc1")
        );
        assert_eq!(parse_version("all:\n"), None);
    }

    #[test]
    fn a_folder_that_is_no_kernel_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Source::folder(dir.path()).unwrap_err().kind(), Kind::Usage);
        tree(dir.path());
        assert_eq!(Source::folder(dir.path()).unwrap().version, "7.3.4");
        std::fs::write(dir.path().join(".config"), "").unwrap();
        let error = Source::folder(dir.path()).unwrap_err();
        assert!(error.help().unwrap().contains("mrproper"));
    }

    #[test]
    fn a_changed_folder_has_another_state() {
        let dir = tempfile::tempdir().unwrap();
        tree(dir.path());
        let before = Source::folder(dir.path()).unwrap();
        assert_eq!(before.state, Source::folder(dir.path()).unwrap().state);
        std::fs::write(dir.path().join("new.c"), "").unwrap();
        let after = Source::folder(dir.path()).unwrap();
        assert_ne!(before.state, after.state);
        assert_eq!(before.id, after.id, "it is built in the same place");
    }

    #[test]
    fn an_archive_is_unpacked_without_what_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("linux-x");
        for sub in ["arch/x86", "arch/arm64/boot", "tools/arch/arm64", "Documentation/admin/deep"] {
            std::fs::create_dir_all(top.join(sub)).unwrap();
        }
        tree(&top);
        for file in [
            "arch/arm64/boot/f",
            "tools/arch/arm64/f",
            "Documentation/Kconfig",
            "Documentation/admin/f",
            "Documentation/admin/deep/f",
        ] {
            std::fs::write(top.join(file), "").unwrap();
        }
        let archive = dir.path().join("x.tar");
        Command::new("tar").arg("-cf").arg(&archive).arg("-C").arg(dir.path()).arg("linux-x").run().unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let mut recipe = Recipe::load().unwrap();
        recipe.space.source = 1;
        let source = Source::ensure(&cache, &recipe, Some(&archive)).unwrap();
        assert_eq!(source.version, "7.3.4");
        for (file, there) in [
            ("tools/arch/arm64/f", true),
            ("arch/arm64/boot/f", false),
            ("Documentation/Kconfig", true),
            ("Documentation/admin/f", false),
        ] {
            assert_eq!(source.dir.join(file).exists(), there, "{file}");
        }
    }

    #[test]
    fn what_is_no_archive_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.tar");
        std::fs::write(&file, "no archive").unwrap();
        let cache = Cache::at(dir.path().join("cache")).unwrap();
        let error = Source::ensure(&cache, &Recipe::load().unwrap(), Some(&file)).unwrap_err();
        assert!(matches!(error.kind(), Kind::Usage | Kind::NoSpace), "{error}");
        let error =
            Source::ensure(&cache, &Recipe::load().unwrap(), Some(Path::new("/no/such/source"))).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
    }
}

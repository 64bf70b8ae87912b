// SPDX-License-Identifier: MIT OR Apache-2.0
//! What changes from boot to boot, as an initramfs: agent, configuration, modules with depmod's files, user programs.

use std::fs::File;
use std::path::{Path, PathBuf};

use blockyard_proto::{BOOT_CONFIG_PATH, BootConfig, OVERLAY_DIR};

use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::initramfs::Archive;
use crate::process::Command;
use crate::programs::Programs;

/// Writes the initramfs to `to`.
pub fn write(
    to: &Path,
    config: &BootConfig,
    programs: &Programs,
    kernel_modules: &Path,
    release: &str,
    modules: &[PathBuf],
) -> Result<()> {
    let mut archive = Archive::new();
    // The kernel opens it for PID 1 before the agent has mounted anything.
    archive.dir("/dev")?;
    archive.host_file("/init", &programs.agent())?;
    let config =
        postcard::to_stdvec(config).context(Kind::Lab, || "cannot write the agent's configuration")?;
    archive.file(BOOT_CONFIG_PATH, 0o644, &config)?;
    for (name, program) in [("chrctl", programs.chrctl()), ("simctl", programs.simctl())] {
        archive.host_file(&format!("{OVERLAY_DIR}/usr/bin/{name}"), &program)?;
    }
    let inside = format!("{OVERLAY_DIR}/usr/lib/modules/{release}");
    if modules.is_empty() {
        archive.host_tree(&inside, &kernel_modules.join("lib/modules").join(release))?;
    } else {
        let scratch = tempfile::tempdir().context(Kind::Lab, || "cannot make a temporary folder")?;
        let tree = with_modules(scratch.path(), kernel_modules, release, modules)?;
        archive.host_tree(&inside, &tree)?;
    }
    let file = File::create(to).context(Kind::Lab, || format!("cannot make {}", to.display()))?;
    archive.finish(file)
}

/// A copy of the kernel's modules with ours among them, depmod done.
fn with_modules(
    scratch: &Path,
    kernel_modules: &Path,
    release: &str,
    modules: &[PathBuf],
) -> Result<PathBuf> {
    let tree = scratch.join("lib/modules").join(release);
    copy_tree(&kernel_modules.join("lib/modules").join(release), &tree)?;
    // depmod prefers this folder: a module of ours hides one of the kernel's with its name.
    let updates = tree.join("updates");
    files::create_dir(&updates)?;
    for module in modules {
        let name = module
            .file_name()
            .ok_or_else(|| Error::new(Kind::Usage, format!("{} is no module's file", module.display())))?;
        copy(module, &updates.join(name))?;
    }
    Command::new("depmod").arg("-b").arg(scratch).arg(release).run()?;
    Ok(tree)
}

/// Links to the build and source folders are left out: they lead nowhere in the guest.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    files::create_dir(to)?;
    for child in files::children(from)? {
        let target = to.join(child.file_name().unwrap_or_default());
        if child.is_symlink() {
            continue;
        } else if child.is_dir() {
            copy_tree(&child, &target)?;
        } else {
            copy(&child, &target)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = std::fs::copy(from, to);
    copied.context(Kind::NotFound, || format!("cannot copy {} to {}", from.display(), to.display())).map(drop)
}

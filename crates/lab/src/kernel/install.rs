// SPDX-License-Identifier: MIT OR Apache-2.0
//! After the build: the tree of modules that a guest takes, and no more objects than modules of others need.

use std::path::Path;

use super::build::make;
use super::{MODULES, Plan};
use crate::error::{Kind, Result};
use crate::files;
use crate::process::Command;
use crate::progress::Job;

/// Installs the kernel's own modules as `lib/modules/RELEASE` below `dir`, and runs depmod over them.
pub(super) fn modules(plan: &Plan, dir: &Path, objects: &Path, release: &str) -> Result<()> {
    let job = Job::begin("installing the kernel's modules");
    let tree = dir.join(MODULES);
    files::remove(&tree)?;
    let mut path = std::ffi::OsString::from("INSTALL_MOD_PATH=");
    path.push(&tree);
    // kbuild's own call of depmod is passed over in silence where it fails; ours is not.
    make(plan, objects)?.arg(path).args(["INSTALL_MOD_STRIP=1", "DEPMOD=true", "modules_install"]).run()?;
    depmod(&tree, release)?;
    job.done();
    Ok(())
}

/// Makes depmod's files for `lib/modules/RELEASE` below `tree`.
pub(crate) fn depmod(tree: &Path, release: &str) -> Result<()> {
    Command::new("depmod").arg("-b").arg(tree).arg(release).failure_kind(Kind::Build).run()
}

/// Removes the objects, archives and dependency files of the kernel itself. Folders whose programs and metadata
/// builds of modules run and read stay whole.
pub(super) fn prune(objects: &Path) -> Result<()> {
    let kept = ["scripts", "tools", "rust", "include"];
    for path in files::children(objects)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if kept.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            prune_folder(&path)?;
        } else if name.starts_with(".tmp_vmlinux") || name == "vmlinux.unstripped" || is_object(&name) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

fn prune_folder(dir: &Path) -> Result<()> {
    for path in files::children(dir)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            prune_folder(&path)?;
        } else if is_object(&name) {
            files::remove(&path)?;
        }
    }
    Ok(())
}

fn is_object(name: &str) -> bool {
    [".o", ".a", ".cmd", ".ko", ".mod", ".mod.c", ".order"].iter().any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modules_need_survives_pruning() {
        let dir = tempfile::tempdir().unwrap();
        let files = [
            "vmlinux.o",
            "vmlinux",
            "Module.symvers",
            "lib/sort.o",
            "lib/.sort.o.cmd",
            "lib/lib.a",
            "rust/core.o",
            "rust/.core.o.cmd",
            "scripts/mod/modpost.o",
            "System.map",
        ];
        for file in files {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        prune(dir.path()).unwrap();
        let left: Vec<_> = files.into_iter().filter(|f| dir.path().join(f).exists()).collect();
        assert_eq!(
            left,
            [
                "vmlinux",
                "Module.symvers",
                "rust/core.o",
                "rust/.core.o.cmd",
                "scripts/mod/modpost.o",
                "System.map"
            ]
        );
    }
}

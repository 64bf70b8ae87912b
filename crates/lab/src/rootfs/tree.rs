// SPDX-License-Identifier: MIT OR Apache-2.0
//! From unpacked packages to a tree that boots: what the maintainer scripts would have made.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::process::Command;

/// Folders that no package owns.
const FOLDERS: [&str; 11] = [
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "mnt",
    "root",
    "var/tmp",
    "var/log",
    "etc/udev/rules.d",
    "usr/lib/modules",
];

/// The merged /usr: these are links before the first package is unpacked.
const MERGED: [&str; 4] = ["bin", "sbin", "lib", "lib64"];

/// What nobody reads in a guest, most of the tree's bytes.
const UNREAD: [&str; 9] = [
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "usr/share/bash-completion",
    "usr/share/lintian",
    "usr/lib/udev/hwdb.d",
    "usr/share/perl",
    "usr/lib/x86_64-linux-gnu/perl",
];

/// Groups that udev's rules name and its maintainer script would have made.
const UDEV_GROUPS: [(&str, u32); 5] =
    [("input", 900), ("sgx", 901), ("clock", 902), ("kvm", 903), ("render", 904)];

/// Makes the folders and links that must be there before packages are unpacked.
pub fn prepare(root: &Path) -> Result<()> {
    for name in MERGED {
        files::create_dir(&root.join("usr").join(name))?;
        link(&format!("usr/{name}"), &root.join(name))?;
    }
    FOLDERS.iter().try_for_each(|folder| files::create_dir(&root.join(folder)))?;
    std::fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777))
        .context(Kind::Lab, || "cannot open up the guest's /tmp")
}

/// Sets up what the unpacked packages need, and drops what nobody reads.
pub fn finish(root: &Path) -> Result<()> {
    for name in MERGED {
        if !root.join(name).is_symlink() {
            let message =
                format!("a package of the guest brings a folder /{name} of its own beside /usr/{name}");
            return Err(Error::new(Kind::Lab, message));
        }
    }
    UNREAD.iter().try_for_each(|path| files::remove(&root.join(path)))?;
    accounts(&root.join("etc"), &root.join("usr/share/base-passwd"))?;
    settings(&root.join("etc"))?;
    default_link("gawk", &root.join("usr/bin/awk"))?;
    default_link("dash", &root.join("usr/bin/sh"))?;
    files::remove(&root.join("var/run"))?;
    link("/run", &root.join("var/run"))?;
    applets(root)
}

fn accounts(etc: &Path, masters: &Path) -> Result<()> {
    let mut groups = files::read(&masters.join("group.master"))?;
    for (name, id) in UDEV_GROUPS {
        if !groups.lines().any(|line| line.split(':').next() == Some(name)) {
            groups.push_str(&format!("{name}:x:{id}:\n"));
        }
    }
    files::write(&etc.join("group"), groups)?;
    // The guest's console is its owner's: no password to ask for.
    let passwd = files::read(&masters.join("passwd.master"))?.replacen("root:*:", "root::", 1);
    files::write(&etc.join("passwd"), passwd)
}

fn settings(etc: &Path) -> Result<()> {
    files::write(&etc.join("hostname"), "yard\n")?;
    files::write(&etc.join("hosts"), "127.0.0.1 localhost yard\n")?;
    files::write(&etc.join("nsswitch.conf"), "passwd: files\ngroup: files\nhosts: files dns\n")?;
    files::write(&etc.join("machine-id"), "b10c4a2db10c4a2db10c4a2db10c4a2d\n")?;
    // No login shell reads it; an interactive one does, by the agent's ENV.
    files::write(&etc.join("profile"), "PS1='yard:\\w# '\nexport PATH=/usr/sbin:/usr/bin\n")?;
    files::remove(&etc.join("mtab"))?;
    link("/proc/self/mounts", &etc.join("mtab"))
}

/// Links every BusyBox applet whose name no real tool has.
fn applets(root: &Path) -> Result<()> {
    let busybox = root.join("usr/bin/busybox");
    let list = Command::new(&busybox).arg("--list").read()?;
    for name in String::from_utf8_lossy(&list).split_whitespace() {
        let taken =
            ["usr/bin", "usr/sbin"].iter().any(|dir| root.join(dir).join(name).symlink_metadata().is_ok());
        // BusyBox's init, mdev and mke2fs are not what a user of the guest means.
        if !taken && !["init", "linuxrc", "mdev"].contains(&name) {
            link("busybox", &root.join("usr/bin").join(name))?;
        }
    }
    Ok(())
}

fn default_link(target: &str, at: &Path) -> Result<()> {
    if at.symlink_metadata().is_ok() { Ok(()) } else { link(target, at) }
}

fn link(target: &str, at: &Path) -> Result<()> {
    symlink(target, at).context(Kind::Lab, || format!("cannot link {} to {target}", at.display()))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guests that run: where each keeps its sockets, and how another process finds, visits and ends them.
//!
//! A guest is a value in the process that booted it, but `ps`, `cp`, `exec --guest` and `stop` come from other
//! processes. So each guest has a folder, private to its user, below `$XDG_RUNTIME_DIR/blockyard` (else
//! `/tmp/blockyard-UID`). Its owner holds a `flock` on the folder's lock file for as long as it lives; a folder
//! whose lock can be taken belongs to nobody, and whoever looks next ends what is left of it.

mod folder;
mod info;
mod stop;

use std::path::{Path, PathBuf};

pub use folder::Claim;
pub use info::Info;

use crate::error::{Error, Kind, Result};
use crate::{files, interrupt};
pub(crate) use folder::{Attempt, DOOR, Lock};
use folder::{LOCK, private_dir};

/// The longest name of a guest: a socket's path may have 107 bytes in all.
const MAX_NAME: usize = 24;

/// All guests of this user.
#[derive(Debug)]
pub struct Registry {
    base: PathBuf,
}

impl Registry {
    /// This user's registry; its folder is made if it is not there.
    pub fn open() -> Result<Self> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let base = match runtime.filter(|dir| dir.is_absolute() && dir.is_dir()) {
            Some(dir) => dir.join("blockyard"),
            None => PathBuf::from(format!("/tmp/blockyard-{}", rustix::process::geteuid().as_raw())),
        };
        Self::at(base)
    }

    /// A registry in this folder.
    pub fn at(base: impl Into<PathBuf>) -> Result<Self> {
        let base = base.into();
        private_dir(&base)?;
        Ok(Self { base })
    }

    /// A folder for a new guest, under this name or else under the first free `yardN`.
    pub fn claim(&self, name: Option<&str>) -> Result<Claim> {
        if let Some(name) = name {
            check_name(name)?;
        }
        let _registry = self.lock()?;
        self.sweep()?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => self.free_name(),
        };
        let dir = self.base.join(&name);
        if dir.exists() {
            return Err(Error::new(Kind::Usage, format!("a guest named {name} runs already"))
                .with_help("`blockyard ps` lists the guests; give --name another name"));
        }
        Claim::make(dir, name)
    }

    fn free_name(&self) -> String {
        let mut names = (0u32..).map(|n| format!("yard{n}"));
        names.find(|name| !self.base.join(name).exists()).unwrap_or_default()
    }

    /// The guests that run, by name.
    pub fn list(&self) -> Result<Vec<Info>> {
        let _registry = self.lock()?;
        self.guests()
    }

    /// The guest of this name, and its folder.
    pub fn find(&self, name: &str) -> Result<(Info, PathBuf)> {
        self.pick(self.list()?, name)
    }

    fn pick(&self, guests: Vec<Info>, name: &str) -> Result<(Info, PathBuf)> {
        let names: Vec<&str> = guests.iter().map(|g| g.name.as_str()).collect();
        let known = if names.is_empty() {
            "no guest runs".into()
        } else {
            format!("these run: {}", names.join(", "))
        };
        let found = guests.iter().find(|guest| guest.name == name);
        found.map(|info| (info.clone(), self.base.join(name))).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no guest named {name} runs ({known})"))
                .with_help("`blockyard boot --name NAME` starts one")
        })
    }

    /// Ends a guest and waits until its owner has cleaned up after it.
    pub fn stop(&self, name: &str) -> Result<()> {
        let registry = self.lock()?;
        let (info, dir) = self.pick(self.guests()?, name)?;
        stop::ask(&info, &dir)?;
        // The owner needs it to clean up.
        drop(registry);
        stop::await_end(&info, &dir)
    }

    fn lock(&self) -> Result<Lock> {
        Lock::take(&self.base.join(LOCK), interrupt::check)
    }

    /// Those that run, without what is left of others. The registry's lock is held.
    fn guests(&self) -> Result<Vec<Info>> {
        self.sweep()?;
        Ok(self.folders()?.iter().filter_map(|dir| Info::read(dir)).collect())
    }

    /// Ends what is left of guests whose owner is gone. The registry's lock is held.
    fn sweep(&self) -> Result<()> {
        for dir in self.folders()? {
            // A folder without its lock file is one whose making or removal was cut off.
            let attempt = Lock::attempt(&dir.join(LOCK))?;
            if matches!(attempt, Attempt::Taken(_) | Attempt::Gone) {
                if let Some(info) = Info::read(&dir) {
                    stop::kill(&info, &dir)?;
                }
                files::remove(&dir)?;
            }
        }
        Ok(())
    }

    fn folders(&self) -> Result<Vec<PathBuf>> {
        Ok(files::children(&self.base)?.into_iter().filter(|path| path.is_dir()).collect())
    }
}

fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(Error::new(Kind::Usage, format!("{name:?} is no name for a guest"))
        .with_help(format!("use up to {MAX_NAME} letters, digits, dashes and underscores")))
}

/// Whether `stop` has been asked to end the guest of this folder.
pub fn was_stopped(dir: &Path) -> bool {
    dir.join(stop::MARKER).exists()
}

#[cfg(test)]
mod tests;

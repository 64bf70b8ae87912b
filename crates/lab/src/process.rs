// SPDX-License-Identifier: MIT OR Apache-2.0
//! Child processes that cannot outlive us.
//!
//! The lab runs `make`, `apt-get`, `dpkg`, `cargo`, QEMU. Each of them starts more, each may be told to stop
//! by Ctrl-C, a deadline or a panic, and none may stay behind. So every child leads a process group of its
//! own, and the group is ended when the [`Child`] is dropped. Should the lab itself be killed with
//! SIGKILL, where no destructor runs, the kernel sends the child its death signal (see [`spawner`]).
//!
//! [`Command::run`] and [`Command::output`] wait with one `poll` over the child's pidfd and its pipes: no
//! thread, no lost byte, and a look at [`interrupt`] ten times a second.

mod child;
mod lines;
mod run;
mod spawner;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

pub use self::child::Child;
pub(crate) use self::run::how;
pub use self::run::{Failure, Output};
use crate::error::{Context, Error, Kind, Result};

/// Which of a child's two output streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

type OnLine<'a> = Box<dyn FnMut(Stream, &str) + 'a>;

/// A program to run: what to start, and the rules for its end.
///
/// Starts with no standard input (not the terminal's), and with messages in English
/// (`LC_ALL=C.UTF-8`), because the lab reads some of them.
pub struct Command<'a> {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    dir: Option<PathBuf>,
    stdin: Option<OwnedFd>,
    foreground: bool,
    death_signal: Signal,
    grace: Duration,
    deadline: Option<Duration>,
    kind: Kind,
    log: Option<PathBuf>,
    on_line: Option<OnLine<'a>>,
}

impl<'a> Command<'a> {
    /// A command for `program`, a path or a name to find in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: vec![("LC_ALL".into(), Some("C.UTF-8".into()))],
            dir: None,
            stdin: None,
            foreground: false,
            death_signal: Signal::KILL,
            grace: Duration::from_secs(3),
            deadline: None,
            kind: Kind::Lab,
            log: None,
            on_line: None,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable of the child.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes an environment variable away from the child.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// The directory to start in.
    #[must_use]
    pub fn current_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.dir = Some(dir.as_ref().to_owned());
        self
    }

    /// Feeds these bytes to the child's standard input (from memory: a child that does not read cannot
    /// block us).
    pub fn stdin_bytes(mut self, bytes: &[u8]) -> Result<Self> {
        let what = || format!("cannot hold {} bytes of input for {}", bytes.len(), self.program.display());
        let fd =
            rustix::fs::memfd_create("stdin", rustix::fs::MemfdFlags::CLOEXEC).context(Kind::Lab, what)?;
        let mut file = File::from(fd);
        use std::io::{Seek, Write};
        file.write_all(bytes).and_then(|()| file.rewind()).context(Kind::Lab, what)?;
        self.stdin = Some(file.into());
        Ok(self)
    }

    /// Lets the child use the terminal (`menuconfig`): our streams, and our process group, so that Ctrl-C reaches it.
    /// Where standard input is no terminal it has a group of its own, as all others do: a signal then comes to us
    /// alone (from a supervisor), and what the child has started must end with it.
    #[must_use]
    pub fn foreground(mut self) -> Self {
        self.foreground = true;
        self
    }

    /// What the kernel sends the child if we die without a destructor. SIGKILL, unless the child has
    /// children of its own that it must end first, as `make` does on SIGTERM.
    #[must_use]
    pub fn death_signal(mut self, signal: Signal) -> Self {
        self.death_signal = signal;
        self
    }

    /// How long the group may take to end after SIGTERM before it gets SIGKILL. Three seconds by default;
    /// zero kills at once.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long [`run`](Self::run) and [`output`](Self::output) wait before the child is ended with
    /// [`Kind::Timeout`]. No limit by default.
    #[must_use]
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// The kind of the error when the program cannot do its work. [`Kind::Lab`] by default. A missing
    /// program is always [`Kind::Need`], a full file system [`Kind::NoSpace`].
    #[must_use]
    pub fn failure_kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds all output to this file as it comes.
    #[must_use]
    pub fn log_to(mut self, path: impl AsRef<Path>) -> Self {
        self.log = Some(path.as_ref().to_owned());
        self
    }

    /// Calls `f` for each line of output, without its newline, as it comes.
    #[must_use]
    pub fn on_line(mut self, f: impl FnMut(Stream, &str) + 'a) -> Self {
        self.on_line = Some(Box::new(f));
        self
    }

    /// Starts the program with these streams; the caller waits. Dropping the [`Child`] ends it.
    /// `on_line`, `log_to` and `deadline` play no part here.
    pub fn spawn_with(&mut self, stdout: Stdio, stderr: Stdio) -> Result<Child> {
        // Resolved here, because a user's PATH on Debian lacks the folders of depmod and mke2fs.
        let found = self.program.to_str().filter(|p| !p.contains('/')).and_then(find_program);
        let mut command =
            std::process::Command::new(found.as_deref().map_or(&*self.program, Path::as_os_str));
        command.args(&self.args).stdout(stdout).stderr(stderr);
        command.stdin(match self.stdin.take() {
            Some(fd) => fd.into(),
            None if self.foreground => Stdio::inherit(),
            None => Stdio::null(),
        });
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let own_group = !(self.foreground && std::io::stdin().is_terminal());
        let child = spawner::spawn(command, self.death_signal, own_group).map_err(|e| self.not_started(e))?;
        Child::new(child, self.name(), self.grace, own_group)
    }

    /// The program and its arguments, as one line for a message.
    pub fn line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn name(&self) -> String {
        let path = Path::new(&self.program);
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    fn not_started(&self, cause: std::io::Error) -> Error {
        let program = self.program.display();
        if let Some(dir) = self.dir.as_ref().filter(|d| !d.is_dir()) {
            return Error::new(
                Kind::NotFound,
                format!("cannot run {program} in {}: no such directory", dir.display()),
            );
        }
        if cause.kind() == std::io::ErrorKind::NotFound {
            return Error::new(Kind::Need, format!("the program `{program}` is not installed"))
                .with_help("`blockyard doctor` lists what is missing and how to install it")
                .with_source(cause);
        }
        Error::new(Kind::Lab, format!("cannot start {program}")).with_source(cause)
    }
}

/// Where `program` is in `PATH` (or itself if it holds a slash), if it is there and may be executed.
/// Looks in `/usr/sbin` and `/sbin` too, which a user's `PATH` lacks on Debian.
pub fn find_program(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return executable(Path::new(program)).then(|| program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(program)).find(|p| executable(p))
}

fn executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests;

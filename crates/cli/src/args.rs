// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line, as types. What a flag means is said here once; `--help` prints it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A yard for Linux virtual block devices: builds a kernel and drivers in Rust, boots them in QEMU, and
/// drives them, without touching this machine's kernel.
#[derive(Debug, Parser)]
#[command(name = "blockyard", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 success; 1 something failed; 2 wrong use; 123 the machine died; \
124 a deadline passed; 125 the lab could not do its part; 128+N ended by signal N. \
`exec` otherwise ends with the command's own code.")]
pub struct Cli {
    /// Say more: -v what the lab does, -vv every detail. RUST_LOG overrides it.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One variant a subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the tour: set up what is missing, build, boot, and do real I/O on our disk
    Run(Run),
    /// Try an example of the book: boot, type its page's commands, and stay at the prompt
    Try(Try),
    /// Run every test, those in the guest included
    Test(Test),
    /// Measure our drivers side by side with their peers
    Bench(Bench),
    /// Say what this machine has and lacks, and how to mend it
    Doctor,
    /// Build and look after kernels
    #[command(subcommand)]
    Kernel(Kernel),
    /// Build the drivers
    Build(Build),
    /// Check the kernel side: rustfmt and clippy, warnings denied
    Lint(Lint),
    /// Boot a guest and get a prompt on its console (Ctrl-] leaves)
    #[command(visible_alias = "shell")]
    Boot(Boot),
    /// Run a command in a guest, as if it were local
    Exec(Exec),
    /// Copy files into and out of a running guest
    Cp(Cp),
    /// Serve a virtio device over vhost-user, to any QEMU
    Device(Device),
    /// List the guests that run
    Ps(Ps),
    /// End guests that run
    Stop(Stop),
}

/// Which configuration of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Small and fast
    #[default]
    Base,
    /// KASAN, lockdep, atomic-sleep checks, kmemleak, list and refcount checks, fault injection
    Debug,
    /// KCSAN, which finds data races, in the kernel's C and in our Rust
    Kcsan,
}

/// Which kernel.
#[derive(Debug, Clone, Default, Args)]
pub struct KernelChoice {
    /// The kernel's configuration
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
    /// The kernel's series, as in 7.2; without it, the newest that the yard knows
    #[arg(long, value_name = "X.Y")]
    pub series: Option<String>,
    /// Kernel source to use instead of the packaged one: an unpacked tree or a tarball
    #[arg(long, value_name = "DIR|TARBALL")]
    pub source: Option<PathBuf>,
    /// A configuration fragment of your own, on top of ours (may be repeated)
    #[arg(long = "config", value_name = "FILE")]
    pub fragments: Vec<PathBuf>,
    /// A driver of ours to link into the kernel's image (may be repeated). Its parameters are words of the
    /// kernel's command line, as in --append hello.times=3
    #[arg(long, value_name = "DRIVER")]
    pub builtin: Vec<String>,
}

/// `blockyard kernel ...`
#[derive(Debug, Subcommand)]
pub enum Kernel {
    /// Build the kernel, unless the cache has it
    Build(KernelChoice),
    /// Print where the built kernel's image is
    Path(KernelChoice),
    /// Print the kernel's full configuration
    Config(KernelChoice),
    /// Change the configuration in the kernel's menu, and print the difference as a fragment
    Menuconfig(KernelChoice),
    /// Remove built kernels and the modules for them from the cache, unless something uses them
    Clean {
        /// Everything else in the cache too: sources, tools, packages, root file systems, programs
        #[arg(long)]
        all: bool,
    },
}

/// `blockyard build`
#[derive(Debug, Args)]
pub struct Build {
    /// The drivers to build; all when none is named
    #[arg(value_name = "DRIVER")]
    pub drivers: Vec<String>,
    /// Build against this kernel build tree instead of ours
    #[arg(long, value_name = "DIR", conflicts_with_all = ["profile", "series", "source", "fragments", "builtin"])]
    pub kdir: Option<PathBuf>,
    /// Write kernel/rust-project.json, which makes rust-analyzer work on the drivers
    #[arg(long)]
    pub ide: bool,
    #[command(flatten)]
    pub kernel: KernelChoice,
}

/// `blockyard lint`
#[derive(Debug, Args)]
pub struct Lint {
    /// Format the files instead of complaining
    #[arg(long)]
    pub fix: bool,
    #[command(flatten)]
    pub kernel: KernelChoice,
}

/// What the virtual machine looks like.
#[derive(Debug, Clone, Default, Args)]
pub struct MachineChoice {
    #[command(flatten)]
    pub kernel: KernelChoice,
    /// A disk: a size such as 64M (empty, gone with the guest) or an image file; serials are disk0, disk1, ...
    #[arg(long = "disk", value_name = "SIZE|FILE")]
    pub disks: Vec<String>,
    /// A virtio device that a program of its own serves: hello, blk,size=64M, ... (may be repeated). `device --help` lists
    /// the types
    #[arg(long = "device", value_name = "TYPE[,OPT=..]")]
    pub devices: Vec<String>,
    /// Memory in MiB, or with a suffix: 512M, 2G
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    pub mem: String,
    /// Number of processors [default: 2, under icount 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: Option<u32>,
    /// How the processor is run: KVM when it works, else emulation (TCG)
    #[arg(long, value_enum, default_value_t)]
    pub accel: Accel,
    /// Which QEMU runs it
    #[arg(long, value_enum, default_value_t)]
    pub qemu: Qemu,
    /// Give the guest a network (QEMU's user network). GUEST or HOST:GUEST also forwards a TCP port on 127.0.0.1
    #[arg(long, value_name = "[HOST:]GUEST", num_args = 0..=1, default_missing_value = "")]
    pub net: Vec<String>,
    /// A module file to put beside ours under /lib/modules (may be repeated)
    #[arg(long = "module", value_name = "FILE.ko")]
    pub modules: Vec<PathBuf>,
    /// Words to add to the kernel's command line (may be repeated)
    #[arg(long, value_name = "WORDS")]
    pub append: Vec<String>,
}

impl MachineChoice {
    /// The options that a guest which runs already has no use for.
    const OF_A_NEW_GUEST: [&str; 14] = [
        "profile",
        "series",
        "source",
        "fragments",
        "builtin",
        "disks",
        "devices",
        "mem",
        "cpus",
        "accel",
        "qemu",
        "net",
        "modules",
        "append",
    ];
}

/// Which QEMU.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Qemu {
    /// The system's; under emulation a newer one that was fetched before, which is faster
    #[default]
    Auto,
    /// The system's
    System,
    /// Debian's newest, if the system's is older than 10.2; fetched once (38 MB)
    Newest,
}

/// Which accelerator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Accel {
    /// KVM if a guest really runs under it here, else TCG
    #[default]
    Auto,
    /// KVM or an error
    Kvm,
    /// Emulation
    Tcg,
    /// Emulation whose clock counts instructions: slow, repeatable, one processor
    Icount,
}

/// `blockyard boot`
#[derive(Debug, Args)]
pub struct Boot {
    #[command(flatten)]
    pub machine: MachineChoice,
    /// The guest's name for `exec`, `cp`, `ps` and `stop`
    #[arg(long)]
    pub name: Option<String>,
}

/// `blockyard exec`
#[derive(Debug, Args)]
pub struct Exec {
    #[command(flatten)]
    pub machine: MachineChoice,
    /// Run in this guest, which runs already, instead of booting one
    #[arg(long, value_name = "NAME", conflicts_with_all = MachineChoice::OF_A_NEW_GUEST)]
    pub guest: Option<String>,
    /// Files to put into the guest's working directory first (may be repeated)
    #[arg(long = "in", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// End the command after this time (30, 30s, 2m)
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `blockyard cp`
#[derive(Debug, Args)]
pub struct Cp {
    /// What to copy, then where to; a path in a guest is NAME:PATH
    #[arg(required = true, num_args = 2.., value_name = "PATH")]
    pub paths: Vec<String>,
}

/// `blockyard device`
#[derive(Debug, Args)]
#[command(after_help = blockyard_device::spec::help())]
pub struct Device {
    /// The device, as TYPE[,OPTION=VALUE..]; a doubled comma in a value is a comma
    #[arg(value_name = "TYPE[,OPT=..]")]
    pub spec: String,
    /// Where QEMU connects; the socket is this user's alone, and removed at the end
    #[arg(long, value_name = "PATH")]
    pub socket: PathBuf,
    /// Trace requests, descriptor by descriptor, to this file or to stderr
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub trace: Option<Option<PathBuf>>,
    /// How many requests are traced, from the first on
    #[arg(long, value_name = "N", default_value_t = 1, requires = "trace")]
    pub trace_requests: u64,
}

/// `blockyard ps`
#[derive(Debug, Args)]
pub struct Ps {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `blockyard stop`
#[derive(Debug, Args)]
pub struct Stop {
    /// Every guest of this user
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// The guests to end, as `ps` names them
    #[arg(required_unless_present = "all", value_name = "NAME")]
    pub names: Vec<String>,
}

/// `blockyard run`
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    pub kernel: KernelChoice,
    /// How the processor is run
    #[arg(long, value_enum, default_value_t)]
    pub accel: Accel,
    /// Write the steps, their commands, outputs, times and figures to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// `blockyard try`
#[derive(Debug, Args)]
pub struct Try {
    /// The example; without it, all are listed
    #[arg(value_name = "EXAMPLE")]
    pub name: Option<String>,
    #[command(flatten)]
    pub machine: MachineChoice,
}

/// `blockyard test`
#[derive(Debug, Args)]
pub struct Test {
    /// The kernel that the guests boot
    #[arg(long, value_enum, default_value_t)]
    pub profile: Profile,
    /// The kernel's series, as in 7.2; without it, the newest that the yard knows
    #[arg(long, value_name = "X.Y")]
    pub series: Option<String>,
    /// Only tests whose name holds this
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// Only the tests that need no guest
    #[arg(long, conflicts_with_all = ["profile", "series"])]
    pub host: bool,
    /// Also the tests that take minutes each; one of them builds a kernel
    #[arg(long, conflicts_with = "host")]
    pub slow: bool,
}

/// `blockyard bench`
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure: simblk, simblk_path, dm_hello, dm_stripe2, dm_snap, vhost_user_blk, virtio_simblk, virtio_hello,
    /// lab; all when none is named. Ctrl-C ends it early, and keeps what was measured
    #[arg(value_name = "NAME")]
    pub subjects: Vec<String>,
    /// Only against these peers, as in --against brd,null_blk; all of them otherwise
    #[arg(long, value_name = "PEER", value_delimiter = ',')]
    pub against: Vec<String>,
    /// Only workloads with this in their names, as in --only 4k,lifecycle; all of them otherwise
    #[arg(long, value_name = "PART", value_delimiter = ',')]
    pub only: Vec<String>,
    /// MiB of each disk in memory; 256 when it is left out. The guest has ten times as much
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..=16384), conflicts_with_all = ["check", "accept"])]
    pub disk_mib: Option<u64>,
    /// Few workloads, each against one peer: under a minute for one subject
    #[arg(long)]
    pub quick: bool,
    /// What to go by; when it is left out both, or instructions alone with --check or --accept
    #[arg(long, value_enum)]
    pub clock: Option<Clock>,
    /// Measure nothing: take reports that --json has written, of parts of one and the same, as one (may be repeated)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subjects", "against", "only", "disk_mib", "quick", "clock"])]
    pub from: Vec<PathBuf>,
    /// Write the report to this file, as benches/schema.json describes it
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report to this file as a page for a browser, which needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Compare the instruction counts with benches/baseline.json; exit code 1 if one is more than 3%
    /// worse in every round
    #[arg(long)]
    pub check: bool,
    /// Write the instruction counts to benches/baseline.json
    #[arg(long)]
    pub accept: bool,
    /// How the guest is run that is measured by wall clock
    #[arg(long, value_enum, default_value_t)]
    pub accel: Accel,
    #[command(flatten)]
    pub kernel: KernelChoice,
}

/// What figures are taken by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Clock {
    /// Time that passes
    Wall,
    /// Instructions that the guest executes
    Instructions,
}

/// `30`, `30s`, `2m`, `500ms`: a duration above zero.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 =
        digits.parse().map_err(|_| format!("{text:?} is no time; write 30, 30s, 2m or 500ms"))?;
    let millis = match &text[digits.len()..] {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        unit => return Err(format!("{unit:?} is no unit of time; use ms, s, m or h")),
    };
    match millis {
        None => Err(format!("{text} is too long")),
        Some(0) => Err("the time must be above zero".into()),
        Some(millis) => Ok(Duration::from_millis(millis)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn times_take_units() {
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
    }

    #[test]
    fn times_that_make_no_sense_are_refused() {
        for bad in ["", "0", "x", "-1", "3 days", "99999999999999999999", "18446744073709551615h"] {
            assert!(duration(bad).is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn exec_without_a_command_is_wrong_use() {
        let error = Cli::try_parse_from(["blockyard", "exec"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use blockyard_client::abi;
use blockyard_client::policy::Spec;
use clap::{Args, Parser, Subcommand};

use crate::quantity::{DiskIndex, bytes};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong command line, 3 the driver is not loaded, 4 no permission, \
5 no such disk (any more), 6 in use, 7 no answer came in time, 130 interrupted.";

/// Steers simblk, the simulated disk.
#[derive(Debug, Parser)]
#[command(name = "simctl", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a disk, and print its device.
    Create(Create),
    /// List the disks.
    List {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Tell all about one disk.
    Info {
        /// Its number, name or device.
        disk: DiskIndex,
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Take a disk away.
    Remove {
        /// Its number, name or device.
        disk: DiskIndex,
        /// Also if it is open: its I/O ends with errors.
        #[arg(long)]
        force: bool,
    },
    /// Become a disk's mapping program, and leave again.
    Register(Target),
    /// Register, wait for a request, and print its size.
    Reqsize(Target),
    /// Register, wait for a request, and print its map.
    Getblk(Target),
    /// Register, wait for a request, fetch its map, and answer it.
    Setblk {
        #[command(flatten)]
        target: Target,
        /// identity, shift=PAGES, random=SEED or log.
        #[arg(long, default_value = "identity")]
        policy: Spec,
    },
    /// Take part in a number of I/Os, each from the request to its answer.
    Io(Io),
}

/// What a new disk shall be.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Bytes, or with K, M, G or T.
    #[arg(long, value_parser = bytes, default_value = "32M")]
    pub(crate) size: u64,
    /// Bytes of a logical block.
    #[arg(long, value_name = "BYTES", default_value_t = abi::MIN_BLOCK_SIZE)]
    pub(crate) block_size: u32,
    /// The most memory that its data may take; 0 for no cap.
    #[arg(long, value_parser = bytes, value_name = "SIZE", default_value = "0")]
    pub(crate) memory_cap: u64,
}

/// Which disk to map.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The disk's number, name or device.
    #[arg(long, default_value = "0")]
    pub(crate) disk: DiskIndex,
    /// Milliseconds that the driver waits for each answer from now on.
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=i64::from(abi::MAX_TIMEOUT_MS)))]
    pub(crate) timeout: Option<u32>,
}

/// How to take part.
#[derive(Debug, Args)]
pub(crate) struct Io {
    /// How many requests; 0 until Ctrl-C.
    pub(crate) count: u64,
    #[command(flatten)]
    pub(crate) target: Target,
    /// identity, shift=PAGES (each page so many further on), random=SEED (a permutation), or log (each write to a
    /// fresh page; wants an empty disk).
    #[arg(long, default_value = "identity")]
    pub(crate) policy: Spec,
    /// Print a line per request.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Command, ErrorKind> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_disks_are_read() {
        let Ok(Command::Create(create)) = parse("simctl create --size 1G --block-size 4096 --memory-cap 8M")
        else {
            panic!("create")
        };
        assert_eq!((create.size, create.block_size, create.memory_cap), (1 << 30, 4096, 8 << 20));
        let Ok(Command::Create(create)) = parse("simctl create") else { panic!("create") };
        assert_eq!((create.size, create.block_size, create.memory_cap), (abi::DEFAULT_SIZE, 512, 0));
        let Ok(Command::Info { disk, json: true }) = parse("simctl info /dev/simblk12 --json") else {
            panic!("info")
        };
        assert_eq!(disk.0, 12);
    }

    #[test]
    fn io_takes_a_count_a_disk_and_a_policy() {
        let line = "simctl io 0 -v --disk 1 --policy shift=16 --timeout 250";
        let Ok(Command::Io(io)) = parse(line) else { panic!("io") };
        assert_eq!((io.count, io.verbose, io.policy), (0, true, Spec::Shift(16)));
        assert_eq!((io.target.disk.0, io.target.timeout), (1, Some(250)));
        let Ok(Command::Io(io)) = parse("simctl io 10") else { panic!("io") };
        assert_eq!((io.count, io.verbose, io.policy), (10, false, Spec::Identity));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use ErrorKind::{MissingRequiredArgument, UnknownArgument, ValueValidation};
        for (line, kind) in [
            ("simctl io", MissingRequiredArgument),
            ("simctl io -1", UnknownArgument),
            ("simctl io ten", ValueValidation),
            ("simctl io 1 --policy fifo", ValueValidation),
            ("simctl io 1 --timeout 0", ValueValidation),
            ("simctl io 1 --timeout 60001", ValueValidation),
            ("simctl info", MissingRequiredArgument),
            ("simctl info sda", ValueValidation),
            ("simctl info 64", ValueValidation),
            ("simctl create --size 0x10", ValueValidation),
            ("simctl create --block-size 4K", ValueValidation),
            ("simctl list extra", UnknownArgument),
            ("simctl", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
            ("simctl explode", ErrorKind::InvalidSubcommand),
        ] {
            assert_eq!(parse(line).map(|_| ()).unwrap_err(), kind, "{line}");
        }
    }
}

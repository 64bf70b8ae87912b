// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard bench`: measures, and lays out what came of it.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use blockyard_bench::baseline::{Baseline, Change, Check};
use blockyard_bench::{Clock, Options, Outcome, Report, page, table};
use blockyard_lab::error::Context;
use blockyard_lab::{Error, Kind, Result};
use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::machine::{accel, spec};
use crate::args;

/// Measures, prints the tables, writes the files; exit code 1 if `--check` finds something worse.
pub fn run(args: &args::Bench) -> Result<ExitCode> {
    if args.clock == Some(args::Clock::Wall) && (args.check || args.accept) {
        return Err(Error::new(Kind::Usage, "--check and --accept go by instructions, not by wall clock"));
    }
    for path in [&args.json, &args.html].into_iter().flatten() {
        writable(path)?;
    }
    let Outcome { report, ended } = match &args.from[..] {
        [] => blockyard_bench::run(&options(args))?,
        files => {
            let reports = files.iter().map(|path| Report::read(path)).collect::<Result<_, _>>()?;
            Outcome { report: Report::joined(reports)?, ended: Ok(()) }
        }
    };
    if ended.is_err() && report.comparisons().next().is_none() {
        return ended.map(|()| ExitCode::SUCCESS);
    }
    table::print(&report);
    if let Some(path) = &args.json {
        report.write(path)?;
    }
    if let Some(path) = &args.html {
        page::write(&report, path)?;
    }
    // What is missing would look as if it were as good as ever.
    ended?;
    let good = if args.check { check(&report)? } else { true };
    if args.accept {
        accept(&report)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options(args: &args::Bench) -> Options {
    let clock = |clock| match clock {
        args::Clock::Wall => Clock::Wall,
        args::Clock::Instructions => Clock::Instructions,
    };
    // What is compared with the baseline, or becomes it, are counts: half an hour by the wall clock would be for nothing.
    let counts = (args.check || args.accept).then_some(Clock::Instructions);
    Options {
        subjects: args.subjects.clone(),
        against: args.against.clone(),
        only: args.only.clone(),
        clocks: args.clock.map(clock).or(counts).into_iter().collect(),
        disk_mib: args.disk_mib,
        quick: args.quick,
        accel: accel(args.accel),
        kernel: spec(&args.kernel),
        exec: exec(args),
    }
}

/// `blockyard exec` for the kernel that these options choose; nothing if we do not know our own name.
fn exec(args: &args::Bench) -> Vec<OsString> {
    let Ok(program) = std::env::current_exe() else { return Vec::new() };
    let args::KernelChoice { profile, series, source, fragments, builtin } = &args.kernel;
    let mut command: Vec<OsString> = vec![program.into(), "exec".into()];
    let mut option = |name: &str, value: &OsStr| command.extend([name.into(), value.into()]);
    let value =
        |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned()).unwrap_or_default();
    // virtme-ng takes no other.
    option("--qemu", "system".as_ref());
    option("--profile", value(profile.to_possible_value()).as_ref());
    option("--accel", value(args.accel.to_possible_value()).as_ref());
    series.iter().for_each(|series| option("--series", series.as_ref()));
    source.iter().for_each(|source| option("--source", source.as_ref()));
    fragments.iter().for_each(|fragment| option("--config", fragment.as_ref()));
    builtin.iter().for_each(|driver| option("--builtin", driver.as_ref()));
    command
}

/// Nobody wants to hear of a folder that does not exist after half an hour of measuring.
fn writable(path: &Path) -> Result<()> {
    let open = std::fs::OpenOptions::new().create(true).append(true).open(path);
    open.map(drop).context(Kind::Usage, || format!("cannot write {}", path.display()))
}

/// Whether nothing got worse than the baseline.
fn check(report: &Report) -> Result<bool> {
    let path = Baseline::path()?;
    let baseline = Baseline::read(&path)?.ok_or_else(|| {
        Error::new(Kind::NotFound, format!("there is no baseline at {}", path.display()))
            .with_help("`blockyard bench --accept` makes it")
    })?;
    let check = baseline.check(report)?;
    println!();
    tell(&check);
    Ok(check.worse.is_empty())
}

fn tell(check: &Check) {
    check.differences.iter().for_each(|line| println!("baseline: {line}, which may be all there is to it"));
    let line = |change: &Change| {
        let percent = change.growth() * 100.0;
        format!("{:<42} {:>14.1} {:>14.1} {percent:>+7.1}%", change.name, change.before, change.now)
    };
    check.worse.iter().for_each(|change| println!("worse   {}", line(change)));
    check.better.iter().for_each(|change| println!("better  {}", line(change)));
    check.new.iter().for_each(|name| println!("new     {name}"));
    println!(
        "baseline: {} worse, {} better, {} as before, {} new, {} not measured now",
        check.worse.len(),
        check.better.len(),
        check.same,
        check.new.len(),
        check.absent.len()
    );
}

fn accept(report: &Report) -> Result<()> {
    let path = Baseline::path()?;
    let now = Baseline::of(report)?;
    let accepted = now.figures.len();
    Baseline::read(&path)?.unwrap_or_default().accept(now).write(&path)?;
    println!("baseline: {accepted} figures accepted, in {}", path.display());
    Ok(())
}

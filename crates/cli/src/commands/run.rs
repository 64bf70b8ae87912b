// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard run`: everything that is missing is built, then the tour is taken.

use std::process::ExitCode;
use std::time::Instant;

use blockyard_book::SPARE;
use blockyard_lab::{Device, Disk, Kernel, Machine, Result, modules};

use super::machine::{accel, spec};
use crate::tour::{self, Report, StepReport};
use crate::{args, exit};

/// Builds, boots, takes the tour, prints the summary; exit code 0 only if every step held.
pub fn run(args: &args::Run) -> Result<ExitCode> {
    let kernel = Kernel::ensure(&spec(&args.kernel))?;
    let drivers = modules::Build::new(&kernel).run()?;
    let machine = Machine::builder()
        .kernel(&kernel)
        .accel(accel(args.accel))
        .disk(Disk::size(SPARE))
        .expect_device(Device::new(tour::DEVICE));
    let machine = drivers.iter().fold(machine, |machine, driver| machine.driver(driver));
    machine.prepare()?;

    anstream::println!("Blockyard: a disk driver in Rust, in a kernel of our own, doing real I/O");
    tour::title(1, tour::length(), "boot", "the kernel that was built here, in QEMU");
    let started = Instant::now();
    let guest = machine.boot()?;
    let took = started.elapsed();
    tour::say(&format!(
        "Linux {} answered after {:.2} s under {}",
        kernel.release(),
        took.as_secs_f64(),
        guest.accel()
    ));

    let report = Report::new(kernel.release(), guest.accel().to_string());
    let report = tour::take(guest, StepReport::of("boot", took, Ok(()), Vec::new()), report);
    report.print();
    if let Some(path) = &args.json {
        tour::write_json(&report, path)?;
    }
    if report.passed() {
        return Ok(ExitCode::SUCCESS);
    }
    match report.into_error() {
        // Not a step that did not hold: Ctrl-C, a machine that died, a lab that could not do its part.
        Some(error) if exit::code(&error) != exit::FAILED => Err(error),
        _ => Ok(ExitCode::from(exit::FAILED)),
    }
}

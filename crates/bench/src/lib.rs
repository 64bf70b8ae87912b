// SPDX-License-Identifier: MIT OR Apache-2.0
//! Our drivers and their peers, measured side by side.
//!
//! A figure alone says little: it depends on the machine, the accelerator, the kernel, and on what else the machine was
//! doing. So nothing is measured alone. Ours and its peers are set up in one guest and do the same work in turn, A B A B, at
//! least five pairs after a warm-up; told is the ratio of the pairs ([`stats`]), or that it spreads too wide to be
//! told. There are two clocks ([`clock`]), and every figure says which one it was taken by, and where ([`report`]).
//!
//! | module | what is there |
//! |---|---|
//! | [`subject`] | what is measured, against whom, and how each is set up |
//! | [`workload`] | what is done to it |
//! | [`target`] | what is to be reached |
//! | [`stats`], [`report`] | what came out |
//! | [`baseline`] | whether that is worse than it was |
//! | [`table`], [`page`] | the same for people, in a terminal and in a browser |

pub mod baseline;
pub mod clock;
mod facts;
mod fio;
mod gauge;
pub mod page;
mod plan;
pub mod report;
mod rounds;
mod session;
mod startup;
pub mod stats;
pub mod subject;
pub mod table;
pub mod target;
pub mod workload;

use std::ffi::OsString;

use blockyard_lab::progress::Job;
use blockyard_lab::{Accel, Kernel, KernelSpec, Result, modules, programs, rootfs};

pub use clock::Clock;
pub use report::Report;

use plan::Plan;
use session::Bench;

/// What is to be measured.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Names of subjects; all if there is none.
    pub subjects: Vec<String>,
    /// Names of peers; all if there is none, and of a short run each subject's first.
    pub against: Vec<String>,
    /// Parts of names of workloads; all workloads if there is none.
    pub only: Vec<String>,
    /// The clocks; both if there is none.
    pub clocks: Vec<Clock>,
    /// MiB of each disk in memory; without it, 256.
    pub disk_mib: Option<u64>,
    /// Few workloads, in under a minute.
    pub quick: bool,
    /// How the guest that is measured by wall clock is run.
    pub accel: Accel,
    /// The kernel.
    pub kernel: KernelSpec,
    /// `blockyard exec` with options that choose that kernel, for measuring the lab itself; without it, that is left out.
    pub exec: Vec<OsString>,
}

impl Options {
    /// MiB of each disk in memory.
    fn disk_mib(&self) -> u64 {
        self.disk_mib.unwrap_or(subject::DISK_MIB)
    }
}

/// What has come of a run. What was measured counts, too, when the rest was not: it may have taken an hour.
#[derive(Debug)]
pub struct Outcome {
    /// What was measured.
    pub report: Report,
    /// The error that cut the run short, as when it is interrupted or the guest dies.
    pub ended: Result<()>,
}

/// Builds what is missing, boots a guest for each clock, and measures.
///
/// # Errors
/// [`Kind::Usage`](blockyard_lab::Kind::Usage) for names that do not exist, before anything is built; and whatever happens
/// before the first measurement.
pub fn run(options: &Options) -> Result<Outcome> {
    let plan = Plan::new(options)?;
    let (taken, source, host) = (facts::now(), facts::source()?, facts::host()?);
    let kernel = Kernel::ensure(&options.kernel)?;
    let drivers = modules::Build::new(&kernel).run()?;
    programs::ensure()?;
    rootfs::ensure()?;
    let mut sessions = Vec::new();
    let ended = measure(options, &plan, &kernel, &drivers, &mut sessions);
    let cut_short = ended.as_ref().err().map(ToString::to_string);
    let schema = report::SCHEMA.into();
    let report = Report { schema, taken, quick: options.quick, cut_short, source, host, sessions };
    Ok(Outcome { report, ended })
}

/// Adds a session for each guest, the last one also if it does not end well.
fn measure(
    options: &Options,
    plan: &Plan,
    kernel: &Kernel,
    drivers: &[modules::Module],
    sessions: &mut Vec<report::Session>,
) -> Result<()> {
    for clock in &plan.clocks {
        let accel = if *clock == Clock::Instructions { Accel::Icount } else { options.accel };
        let mut job = Job::begin(match clock {
            Clock::Wall => "measuring by wall clock",
            Clock::Instructions => "counting instructions",
        });
        job.set_total(plan.steps(*clock));
        for (plug, subjects) in plan.guests(*clock) {
            let mut bench = Bench::boot(kernel, drivers, accel, plug, options)?;
            let measured = subjects
                .into_iter()
                .try_for_each(|subject| bench.measure(subject, plan.workloads(subject, *clock), &mut job));
            let (session, ended) = bench.finish(measured);
            sessions.push(session);
            ended?;
        }
        if plan.lab && *clock == Clock::Wall && !options.exec.is_empty() {
            sessions.push(startup::measure(kernel, options.accel, &options.exec, &mut job)?);
        }
        job.done();
    }
    Ok(())
}

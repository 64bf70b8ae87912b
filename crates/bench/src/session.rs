// SPDX-License-Identifier: MIT OR Apache-2.0
//! One guest in which subjects and peers are set up, and measured in turn.

use std::time::Duration;

use blockyard_lab::modules::Module;
use blockyard_lab::progress::Job;
use blockyard_lab::{Accel, Error, Guest, Kernel, Kind, Machine, QemuChoice, Result};

use crate::Options;
use crate::clock::Clock;
use crate::fio::{self, Limit, Outcome, Run};
use crate::report::{Comparison, GuestFacts, Missing, Session, Unit};
use crate::rounds::{ROUNDS, Series};
use crate::subject::{Contender, DISK_MIB, Plug, Plugged, Subject};
use crate::target::{Outcome as Reach, target};
use crate::workload::{Io, PATH_BLOCKS, Pattern, Suite, Workload, path_cost};
use crate::{facts, gauge, workload};

/// Memory of the guest, in disks: one for each contender, and a copy of all of it for what a view holds.
const MEMORY: u64 = 10;
/// Where fio's files go.
const FOLDER: &str = "/run/bench";
/// How long one fio may take on the wall: it runs for a minute or so, on a busy host for several.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Bytes that a run under the clock of instructions moves, at most, unless that would be too few I/Os.
const COUNTED_BYTES: u64 = 16 << 20;

/// Rounds after which a target that is still open stays so.
const OPEN_ROUNDS: usize = 9 * ROUNDS;
/// Round trips of one run.
const TRIPS: u32 = 2000;

/// One figure of a disk's life.
type Part = fn(&gauge::Lifecycle) -> f64;
/// What is told of a disk that is filled from its beginning to its end.
const LIFECYCLE: [(&str, Part); 4] = [
    ("first-fill", |life| life.fill_ns as f64),
    ("zero-full", |life| life.zero_ns as f64),
    ("discard-full", |life| life.discard_ns as f64),
    ("memory", gauge::Lifecycle::beside_per_gib),
];
/// What is told of one that is filled page by page, all over the place.
const SCATTER: [(&str, Part); 3] = [
    ("first-fill-scattered", |life| life.fill_ns as f64),
    ("discard-scattered", |life| life.discard_ns as f64),
    ("memory-scattered", gauge::Lifecycle::beside_per_gib),
];

/// A guest to measure in.
pub struct Bench {
    guest: Guest,
    clock: Clock,
    quick: bool,
    facts: GuestFacts,
    comparisons: Vec<Comparison>,
    missing: Vec<Missing>,
    /// After the guest, which uses it.
    _plugged: Option<Plugged>,
}

/// What is measured at a time.
struct Field<'a> {
    subject: &'a Subject,
    /// Ours first.
    contenders: Vec<&'a Contender>,
    /// Whether the disks hold data everywhere.
    full: bool,
}

impl Field<'_> {
    fn names(&self) -> Vec<&str> {
        self.contenders.iter().map(|c| c.name).collect()
    }
}

impl Bench {
    /// Boots a guest with these drivers.
    pub fn boot(
        kernel: &Kernel,
        drivers: &[Module],
        accel: Accel,
        plug: Option<Plug>,
        options: &Options,
    ) -> Result<Self> {
        let disk_mib = options.disk_mib();
        let memory = (disk_mib.max(DISK_MIB) * MEMORY) as u32;
        let machine = Machine::builder().kernel(kernel).accel(accel).qemu(QemuChoice::System).mem_mib(memory);
        // While a guest under -icount idles, its clock jumps: a task that waits for the root disk seems hung for hours.
        let machine = machine.append("hung_task_timeout_secs=0");
        let machine = drivers.iter().fold(machine, |machine, driver| machine.driver(driver));
        let (machine, plugged) = match plug {
            None => (machine, None),
            Some(plug) => plug(machine).map(|(machine, plugged)| (machine, Some(plugged)))?,
        };
        let guest = machine.boot()?;
        plugged.iter().try_for_each(|plugged| plugged.name_nodes(&guest))?;
        gauge::install(&guest)?;
        guest.check(&format!("mkdir -p {FOLDER}"))?;
        let clock = Clock::of(guest.accel());
        let facts = facts::guest(&guest, memory, disk_mib)?;
        Ok(Self {
            guest,
            clock,
            quick: options.quick,
            facts,
            comparisons: Vec::new(),
            missing: Vec::new(),
            _plugged: plugged,
        })
    }

    /// Measures one subject against its peers.
    pub fn measure(&mut self, subject: &Subject, workloads: Vec<Workload>, job: &mut Job) -> Result<()> {
        if workloads.is_empty() {
            return Ok(());
        }
        let Some(contenders) = self.available(subject)? else {
            workloads.iter().for_each(|_| job.step());
            return Ok(());
        };
        self.script(&subject.up)?;
        let mut field = Field { subject, contenders, full: false };
        for contender in &field.contenders {
            self.script(&contender.up)?;
        }
        for workload in workloads {
            job.detail(&format!("{}: {workload}", subject.name));
            let measured = self.workload(&mut field, workload)?;
            let judge = |comparison| judge(self.clock, subject.suite, comparison);
            self.comparisons.extend(measured.into_iter().map(judge).collect::<Vec<_>>());
            job.step();
        }
        for contender in field.contenders.iter().rev() {
            self.script(&contender.down)?;
        }
        self.script(&subject.down)
    }

    /// Ends the guest, and tells what was found in it: all of it if `measured` is no error and the kernel did not complain.
    pub fn finish(self, measured: Result<()>) -> (Session, Result<()>) {
        let Self { guest, clock, facts, comparisons, missing, .. } = self;
        let session = Session { clock, guest: facts, comparisons, missing };
        (session, measured.and_then(|()| guest.finish().map(drop)))
    }

    /// Runs lines of shell, each of which must succeed, and waits for udev to have seen the consequences.
    fn script(&self, lines: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.guest.check(&format!("set -e\n{lines}\nudevadm settle --timeout=60")).map(drop)
    }

    /// Who of them this kernel can have, ours first. `None` if it cannot have ours, or none of the peers.
    fn available<'a>(&mut self, subject: &'a Subject) -> Result<Option<Vec<&'a Contender>>> {
        let mut there = Vec::new();
        for contender in [&subject.ours].into_iter().chain(&subject.peers) {
            let Some(why) = self.lacks(contender)? else {
                there.push(contender);
                continue;
            };
            self.missing.push(Missing { name: contender.name.into(), why });
            if contender.name == subject.ours.name {
                return Ok(None);
            }
        }
        Ok((there.len() > 1).then_some(there))
    }

    /// What there is not that this one needs.
    fn lacks(&self, contender: &Contender) -> Result<Option<String>> {
        if !self.guest.exec(&contender.needs)?.status.success() {
            let why = format!("this kernel has none: `{}` fails in the guest", contender.needs);
            return Ok(Some(format!("{why} (--config kernel/config/bench.config brings more peers)")));
        }
        match contender.bring.map_or(Ok(()), |bring| bring(&self.guest)) {
            Ok(()) => Ok(None),
            // Others can be measured without a program that cannot be had.
            Err(error) if matches!(error.kind(), Kind::Build | Kind::Network) => {
                Ok(Some(error.help().map_or_else(|| error.to_string(), |help| format!("{error} ({help})"))))
            }
            Err(error) => Err(error),
        }
    }

    fn workload(&mut self, field: &mut Field<'_>, workload: Workload) -> Result<Vec<Comparison>> {
        match workload {
            Workload::Io(io) => self.streams(field, io),
            Workload::Path(pattern) => self.path(field, pattern),
            Workload::Lifecycle => self.lives(field, "lifecycle", &LIFECYCLE),
            Workload::Scatter => self.lives(field, "scatter", &SCATTER),
            Workload::Copy(io) => self.copy(field, io),
            Workload::Trips => self.trips(field),
        }
    }

    /// Streams of I/O, until the ratios are clear or there were enough rounds.
    fn streams(&mut self, field: &mut Field<'_>, io: Io) -> Result<Vec<Comparison>> {
        self.prepare(field, io.fresh)?;
        let unit = match self.clock {
            Clock::Wall => Unit::IosPerSecond,
            Clock::Instructions => Unit::InstructionsPerIo,
        };
        let mut series = Series::of(field.contenders.len());
        loop {
            // Only the first go begins cold.
            let warm_up = usize::from(series.rounds() == 0);
            let rounds = self.go(field, &[io], warm_up + ROUNDS)?;
            for outcomes in rounds.into_iter().skip(warm_up) {
                for (at, outcome) in outcomes.into_iter().enumerate() {
                    series.push(at, self.figure(&outcome[0]), outcome[0].curve.clone());
                }
            }
            let wide = series.wants_more(&field.names(), unit, if self.quick { 2 } else { 3 } * ROUNDS);
            let comparisons = series.comparisons(&field.names(), &io.to_string(), unit);
            if !wide && !self.is_open(field, series.rounds(), comparisons) {
                break;
            }
        }
        if self.clock == Clock::Instructions || io.depth * io.jobs > 1 {
            series.curves.iter_mut().for_each(Vec::clear);
        }
        Ok(series.comparisons(&field.names(), &io.to_string(), unit))
    }

    /// Whether more rounds, of which there were so many, may tell if a target is reached, which these do not.
    fn is_open(&self, field: &Field<'_>, rounds: usize, comparisons: Vec<Comparison>) -> bool {
        let open = |comparison| {
            let comparison = judge(self.clock, field.subject.suite, comparison);
            comparison.target.is_some_and(|target| target.outcome(&comparison) == Reach::Open)
        };
        !self.quick && rounds < OPEN_ROUNDS && comparisons.into_iter().any(open)
    }

    fn figure(&self, outcome: &Outcome) -> f64 {
        match self.clock {
            Clock::Wall => outcome.iops(),
            Clock::Instructions => outcome.latency,
        }
    }

    /// The cost of an I/O beside its copy.
    fn path(&mut self, field: &mut Field<'_>, pattern: Pattern) -> Result<Vec<Comparison>> {
        self.prepare(field, false)?;
        let ios = PATH_BLOCKS.map(|block| Io::new(pattern, block, workload::Engine::Psync));
        let rounds = self.go(field, &ios, 1 + ROUNDS)?;
        let mut series = Series::of(field.contenders.len());
        for outcomes in rounds.into_iter().skip(1) {
            for (at, both) in outcomes.into_iter().enumerate() {
                series.push(at, path_cost(both[0].latency, both[1].latency), Vec::new());
            }
        }
        let name = Workload::Path(pattern).to_string();
        Ok(series.comparisons(&field.names(), &name, Unit::InstructionsPerIo))
    }

    /// One fio with so many rounds, in each of which every contender does all of `ios`. The outcomes, by round, contender
    /// and I/O.
    fn go(&mut self, field: &Field<'_>, ios: &[Io], rounds: usize) -> Result<Vec<Vec<Vec<Outcome>>>> {
        let again: Vec<_> = field.contenders.iter().map(|contender| contender.again()).collect();
        let mut runs = Vec::new();
        for _ in 0..rounds {
            for (contender, again) in field.contenders.iter().zip(&again) {
                let before = |io: &Io| io.fresh.then_some(again.as_str());
                let run = |io: &Io| Run {
                    device: &contender.device,
                    io: *io,
                    limit: self.limit(io),
                    before: before(io),
                };
                runs.extend(ios.iter().map(run));
            }
        }
        let mut outcomes = self.fio(field.subject.mib, &runs)?.into_iter();
        let mut take = |n: usize| outcomes.by_ref().take(n).collect::<Vec<_>>();
        let contenders = field.contenders.len();
        Ok((0..rounds).map(|_| (0..contenders).map(|_| take(ios.len())).collect()).collect())
    }

    fn limit(&self, io: &Io) -> Limit {
        match self.clock {
            _ if io.fresh => Limit::WholeDisk,
            Clock::Wall => Limit::Millis(if self.quick { 250 } else { 500 }),
            Clock::Instructions => Limit::Ios((COUNTED_BYTES / u64::from(io.block)).clamp(256, 2048)),
        }
    }

    fn fio(&mut self, mib: u64, runs: &[Run<'_>]) -> Result<Vec<Outcome>> {
        self.guest.write(&format!("{FOLDER}/jobs.fio"), fio::job_file(mib, runs))?;
        let done = self
            .guest
            .command(["fio", "--output-format=json", "jobs.fio"])
            .dir(FOLDER)
            .timeout(PATIENCE)
            .run()?;
        if !done.status.success() {
            let said = format!("{}{}", done.stderr_text(), done.stdout_text());
            let end = said.char_indices().rev().nth(1500).map_or(&said[..], |(at, _)| &said[at..]);
            return Err(Error::new(Kind::Guest, format!("fio ended with {}: {end}", done.status)));
        }
        let (version, outcomes) = fio::outcomes(&done.stdout_text(), runs.len())?;
        self.facts.fio = version;
        Ok(outcomes)
    }

    /// Fills the disks, unless the workload begins with new ones or they are full.
    fn prepare(&self, field: &mut Field<'_>, fresh: bool) -> Result<()> {
        if !fresh && !field.full {
            for contender in &field.contenders {
                gauge::fill(&self.guest, &contender.device, field.subject.mib)?;
            }
        }
        field.full = !fresh;
        Ok(())
    }

    /// New disks are filled and discarded, in some way.
    fn lives(&self, field: &mut Field<'_>, way: &str, parts: &[(&str, Part)]) -> Result<Vec<Comparison>> {
        let unit = match self.clock {
            Clock::Wall => Unit::Nanoseconds,
            Clock::Instructions => Unit::Instructions,
        };
        let mut lives = vec![Vec::new(); field.contenders.len()];
        // The first one of each begins cold.
        self.live(field, way)?;
        loop {
            for _ in 0..ROUNDS {
                let round = self.live(field, way)?;
                lives.iter_mut().zip(round).for_each(|(lives, life)| lives.push(life));
            }
            let compare = |(name, part): &(&str, Part)| {
                let unit = if name.starts_with("memory") { Unit::BytesPerGib } else { unit };
                let figures = lives.iter().map(|lives| lives.iter().map(part).collect()).collect();
                let series = Series { figures, curves: vec![Vec::new(); lives.len()] };
                series.comparisons(&field.names(), name, unit)
            };
            let comparisons: Vec<_> = parts.iter().flat_map(compare).collect();
            // Counts repeat themselves: more of them tell no more.
            let counts = self.clock == Clock::Instructions;
            if counts || !self.is_open(field, lives[0].len(), comparisons.clone()) {
                return Ok(comparisons);
            }
        }
    }

    /// A life of a new disk of each contender.
    fn live(&self, field: &mut Field<'_>, way: &str) -> Result<Vec<gauge::Lifecycle>> {
        field.full = false;
        let life = |contender: &&Contender| {
            self.guest.check(&contender.again())?;
            gauge::lifecycle(&self.guest, way, &contender.device)
        };
        field.contenders.iter().map(life).collect()
    }

    /// Round trips, one at a time.
    fn trips(&self, field: &Field<'_>) -> Result<Vec<Comparison>> {
        let (unit, spin) = match self.clock {
            Clock::Wall => (Unit::IosPerSecond, false),
            Clock::Instructions => (Unit::InstructionsPerIo, true),
        };
        let mut series = Series::of(field.contenders.len());
        for round in 0..=ROUNDS {
            for (at, contender) in field.contenders.iter().enumerate() {
                let trip = gauge::trip(&self.guest, &contender.device, TRIPS, spin)?;
                if round > 0 {
                    series.push(at, if spin { trip } else { 1e9 / trip }, Vec::new());
                }
            }
        }
        Ok(series.comparisons(&field.names(), &Workload::Trips.to_string(), unit))
    }

    /// Ours against a plain copy of memory.
    fn copy(&mut self, field: &mut Field<'_>, io: Io) -> Result<Vec<Comparison>> {
        self.prepare(field, io.fresh)?;
        let mut series = Series::of(2);
        let ours = Field { subject: field.subject, contenders: vec![field.contenders[0]], full: true };
        for round in 0..=ROUNDS {
            let outcome = self.go(&ours, &[io], 1)?.remove(0).remove(0).remove(0);
            let rate = gauge::copy_rate(&self.guest, io.block, field.subject.mib)?;
            if round > 0 {
                series.push(0, outcome.iops() * f64::from(io.block), Vec::new());
                series.push(1, rate, Vec::new());
            }
        }
        let names = [field.subject.name, "memcpy"];
        Ok(series.comparisons(&names, &io.to_string(), Unit::BytesPerSecond))
    }
}

/// Adds what is to be reached, and what stands against comparing.
fn judge(clock: Clock, suite: Suite, comparison: Comparison) -> Comparison {
    let target = target(clock, &comparison.subject, &comparison.peer, &comparison.workload);
    let comparison = Comparison { target, ..comparison };
    let counts = matches!(comparison.unit, Unit::Instructions | Unit::InstructionsPerIo);
    if counts && suite.copies(&comparison.workload) {
        comparison.with_caveat("copies: not by count")
    } else {
        comparison
    }
}

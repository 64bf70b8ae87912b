// SPDX-License-Identifier: MIT OR Apache-2.0
//! `simtorture`: a hostile user of simblk's control device. Threads make random ioctls with random arguments and bad pointers,
//! while others do I/O on the disks that come and go. The driver must answer each call with success or an error
//! number that its interface documents, and must let go of every thread in the end; what else goes wrong, the kernel's log
//! tells. It goes beside the safe API of `blockyard_client` on purpose.

mod arena;
mod attack;
mod documented;
mod io;
mod tally;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use blockyard_client::{Control, Error};
use clap::Parser;

use attack::{Attacker, Files};
use tally::Tally;

/// How long a thread may take to come back once every disk is gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tortures simblk with random ioctls. Every disk of simblk is lost.
#[derive(Debug, Parser)]
struct Args {
    /// Required: this removes every disk of simblk.
    #[arg(long, required = true)]
    all_disks_will_be_lost: bool,
    /// How long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// What the calls of each thread follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Threads that make ioctls; half as many do I/O.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match torture(&args) {
        Ok(tally) => report(&tally, &args),
        Err(error) => {
            eprintln!("simtorture: {error}");
            ExitCode::FAILURE
        }
    }
}

fn torture(args: &Args) -> Result<Tally, Box<dyn std::error::Error>> {
    // First through the door that explains itself.
    Control::open()?;
    let stop = Arc::new(AtomicBool::new(false));
    let files = Arc::new(Files::open(3)?);
    let (done, results) = mpsc::channel();
    for number in 0..args.threads {
        let mut attacker = Attacker::new(files.clone(), args.seed.wrapping_add(number))?;
        let (stop, done) = (stop.clone(), done.clone());
        // The receiver is gone only if this program has given up on its threads.
        std::thread::spawn(move || drop(done.send(attacker.run(&stop))));
    }
    for number in 0..args.threads.div_ceil(2) {
        let (stop, done, seed) = (stop.clone(), done.clone(), args.seed.wrapping_sub(1 + number));
        std::thread::spawn(move || drop(done.send(io::run(seed, &stop))));
    }
    drop(done);
    // This is how long it lasts, not a wait for anything.
    std::thread::sleep(Duration::from_secs(args.seconds));
    stop.store(true, Ordering::Relaxed);
    let threads = args.threads + args.threads.div_ceil(2);
    gather(&results, threads)
}

/// Takes the disks away, so that nothing waits for I/O any more, until every thread has come back.
fn gather(results: &mpsc::Receiver<Tally>, threads: u64) -> Result<Tally, Box<dyn std::error::Error>> {
    let deadline = Instant::now() + PATIENCE;
    let mut sum = Tally::default();
    let mut back = 0;
    while back < threads {
        remove_all()?;
        match results.recv_timeout(Duration::from_millis(100)) {
            Ok(tally) => {
                sum.add(tally);
                back += 1;
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
            Err(RecvTimeoutError::Timeout) => {
                let hangs = threads - back;
                return Err(format!("{hangs} of {threads} threads hang, though every disk is gone").into());
            }
            Err(RecvTimeoutError::Disconnected) => return Err("a thread panicked".into()),
        }
    }
    remove_all()?;
    Ok(sum)
}

fn remove_all() -> Result<(), Error> {
    let control = Control::open()?;
    for disk in control.list()? {
        match control.remove(disk.index, true) {
            // Another thread was first.
            Ok(()) | Err(Error::NoSuchDisk { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn report(tally: &Tally, args: &Args) -> ExitCode {
    print!("{tally}");
    let (wrong, idle) = (tally.undocumented(), tally.never_succeeded());
    for line in &wrong {
        eprintln!("simtorture: {line}: not documented");
    }
    if !idle.is_empty() {
        eprintln!("simtorture: never succeeded, so hardly tried: {}", idle.join(", "));
    }
    match wrong.is_empty() && idle.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            eprintln!("simtorture: again: --seed {} --threads {}", args.seed, args.threads);
            ExitCode::FAILURE
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard ps` and `blockyard stop`.

use std::process::ExitCode;

use blockyard_lab::registry::{Info, Registry};
use blockyard_lab::{Error, Kind, Result};

use crate::{args, exit};

/// Lists the guests of this user.
pub fn ps(args: &args::Ps) -> Result<ExitCode> {
    let guests = Registry::open()?.list()?;
    if args.json {
        let text = serde_json::to_string_pretty(&guests);
        println!("{}", text.map_err(|e| Error::new(Kind::Lab, "cannot write JSON").with_source(e))?);
    } else if guests.is_empty() {
        eprintln!("no guest runs");
    } else {
        println!(
            "{:<16} {:>7} {:>7} {:<5} {:>8} {:>4}  {:<24} DISKS, DEVICES",
            "NAME", "PID", "AGE", "ACCEL", "MEMORY", "CPUS", "KERNEL"
        );
        guests.iter().for_each(|guest| println!("{}", row(guest)));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(guest: &Info) -> String {
    let Info { name, owner_pid, accel, mem_mib, cpus, kernel, disks, devices, .. } = guest;
    let (age, accel) = (age(guest.age().as_secs()), accel.to_string());
    let disks: Vec<&str> = disks.iter().chain(devices).map(String::as_str).collect();
    let disks = disks.join(",");
    format!("{name:<16} {owner_pid:>7} {age:>7} {accel:<5} {mem_mib:>6} M {cpus:>4}  {kernel:<24} {disks}")
}

fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// Ends guests, and says so: each that can be ended, whatever becomes of the others.
pub fn stop(args: &args::Stop) -> Result<ExitCode> {
    let registry = Registry::open()?;
    let names = match args.all {
        true => registry.list()?.into_iter().map(|guest| guest.name).collect(),
        false => args.names.clone(),
    };
    let mut failed = None;
    for name in names {
        match registry.stop(&name) {
            Ok(()) => println!("{name} has ended"),
            // It has ended by itself since it was listed.
            Err(error) if args.all && error.kind() == Kind::NotFound => {}
            Err(error) if failed.is_none() => failed = Some(error),
            Err(error) => drop(exit::report(&error)),
        }
    }
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        assert_eq!([age(5), age(65), age(3661)], ["5s", "1m05s", "1h01m"]);
    }
}

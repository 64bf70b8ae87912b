// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every test in a guest needs: a guest with our drivers, and the kernel log as part of the result.
//!
//! No test sees another's leftovers, and a dead kernel fails one test: a guest goes to the next test ([`on_guest`]) only
//! if it is as it was after its boot, and a test of another machine boots its own ([`run`]).
//! `BLOCKYARD_PROFILE=debug` runs the same tests under the debug kernel, `kcsan` under the one that looks for data races, `BLOCKYARD_SERIES=7.2` under that series.

mod pool;

use std::sync::OnceLock;

use blockyard_lab::{Guest, Kernel, KernelSpec, Machine, MachineBuilder, Profile, Result, modules};

pub use crate::pool::Shape;

/// Which kernel this run is about.
pub fn spec() -> KernelSpec {
    let profile = match std::env::var("BLOCKYARD_PROFILE") {
        Ok(name) if !name.is_empty() => {
            name.parse().unwrap_or_else(|e| panic!("BLOCKYARD_PROFILE: {}", explain(&e)))
        }
        _ => Profile::default(),
    };
    let series = std::env::var("BLOCKYARD_SERIES").ok().filter(|series| !series.is_empty());
    KernelSpec { profile, series, ..KernelSpec::default() }
}

/// The kernel of this run, built on first use.
pub fn kernel() -> &'static Kernel {
    static KERNEL: OnceLock<Kernel> = OnceLock::new();
    KERNEL.get_or_init(|| Kernel::ensure(&spec()).unwrap_or_else(|e| panic!("no kernel: {}", explain(&e))))
}

/// All our drivers, built on first use.
pub fn drivers() -> &'static [modules::Module] {
    static MODULES: OnceLock<Vec<modules::Module>> = OnceLock::new();
    MODULES.get_or_init(|| {
        modules::Build::new(kernel())
            .run()
            .unwrap_or_else(|e| panic!("drivers do not build: {}", explain(&e)))
    })
}

/// One of them.
pub fn driver(name: &str) -> &'static modules::Module {
    drivers().iter().find(|m| m.name() == name).unwrap_or_else(|| panic!("no driver {name}"))
}

/// A machine with every driver of ours under `/lib/modules`, none loaded.
pub fn machine() -> MachineBuilder {
    drivers().iter().fold(bare_machine(), MachineBuilder::driver)
}

/// A machine with nothing of ours in it.
pub fn bare_machine() -> MachineBuilder {
    Machine::builder().kernel(kernel())
}

/// Boots `machine`, runs `test`, and ends the guest; fails if the test or the kernel's log does.
#[track_caller]
pub fn run(machine: MachineBuilder, test: impl FnOnce(&Guest) -> Result<()>) {
    let guest = machine.boot().unwrap_or_else(|e| panic!("no guest: {}", explain(&e)));
    check(&guest, test);
    if let Err(error) = guest.finish() {
        panic!("{}", explain(&error));
    }
}

/// Runs `test` in a guest of [`machine`], which another test may have had before; fails if the test or the kernel's log
/// does.
#[track_caller]
pub fn on_guest(test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest_of(Shape::new("usual", machine), test);
}

/// As [`on_guest`], in a guest of this shape.
#[track_caller]
pub fn on_guest_of(shape: Shape, test: impl FnOnce(&Guest) -> Result<()>) {
    let pooled = pool::Pooled::take(shape).unwrap_or_else(|e| panic!("no guest: {}", explain(&e)));
    check(pooled.guest(), test);
    if let Err(error) = pooled.give_back() {
        panic!("{}", explain(&error));
    }
}

#[track_caller]
fn check(guest: &Guest, test: impl FnOnce(&Guest) -> Result<()>) {
    if let Err(error) = test(guest) {
        let log =
            guest.dmesg().map(|lines| lines.iter().rev().take(30).rev().map(|l| format!("{l}\n")).collect());
        panic!("{}\nend of the kernel log:\n{}", explain(&error), log.unwrap_or_else(|e| e.to_string()));
    }
}

/// As [`on_guest`], with `simblk` loaded with these parameters.
#[track_caller]
pub fn with_simblk(params: &str, test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        guest.load("simblk", params)?;
        guest.check("udevadm settle --timeout=30")?;
        test(guest)
    });
}

/// Makes two tests of a function that takes how often it does something: one of a usual run, and one that takes minutes and
/// that only `./yard test --slow` runs.
#[macro_export]
macro_rules! repeated {
    ($test:ident, $usual:literal, $slow:literal) => {
        mod $test {
            #[test]
            fn some_times() {
                super::$test($usual);
            }

            #[test]
            #[ignore = "takes minutes"]
            fn many_times() {
                super::$test($slow);
            }
        }
    };
}

/// The error with its causes and its help, as the command would lay it out.
fn explain(error: &blockyard_lab::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&format!("\n  because: {inner}"));
        cause = inner.source();
    }
    if let Some(help) = error.help() {
        text.push_str(&format!("\n  help: {help}"));
    }
    text
}

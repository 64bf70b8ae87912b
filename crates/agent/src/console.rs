// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: where the agent speaks when nobody listens on a port.

use std::io::Write;

use blockyard_proto::{CONSOLE_PREFIX, QUIET_LOGLEVEL, USUAL_LOGLEVEL};

/// Its first number is the level that is printed.
const LEVELS: &str = "/proc/sys/kernel/printk";

/// Writes a line to the console. If even that fails there is nobody left to tell.
pub fn say(line: &str) {
    if let Ok(mut console) = std::fs::OpenOptions::new().write(true).open("/dev/console") {
        let _ = writeln!(console, "{CONSOLE_PREFIX}{line}");
    }
}

/// Has the kernel print its notes from now on, if it was the lab that kept them off the console while it booted: a user's
/// own `loglevel=` stays.
pub fn unmute() -> std::io::Result<()> {
    let levels = std::fs::read_to_string(LEVELS)?;
    let quiet = levels.split_whitespace().next() == Some(&QUIET_LOGLEVEL.to_string());
    if quiet { std::fs::write(LEVELS, USUAL_LOGLEVEL.to_string()) } else { Ok(()) }
}

/// Says panics on the console; a default hook would write to a stderr that goes nowhere.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        say(&format!("thread {} {panic}", thread.name().unwrap_or("unnamed")));
    }));
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The console: where the agent speaks when nobody listens on a port.

use std::io::Write;

use blockyard_proto::CONSOLE_PREFIX;

/// Writes a line to the console. If even that fails there is nobody left to tell.
pub fn say(line: &str) {
    if let Ok(mut console) = std::fs::OpenOptions::new().write(true).open("/dev/console") {
        let _ = writeln!(console, "{CONSOLE_PREFIX}{line}");
    }
}

/// Says panics on the console; a default hook would write to a stderr that goes nowhere.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        say(&format!("thread {} {panic}", thread.name().unwrap_or("unnamed")));
    }));
}

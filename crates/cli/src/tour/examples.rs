// SPDX-License-Identifier: MIT OR Apache-2.0
//! The examples of the book, one line each: loaded, asked for the one thing that tells what it is, unloaded. A driver that
//! has a step of its own has no line here.

use blockyard_lab::Result;

use super::stage::{Stage, expect, say};

/// A driver's line.
struct Example {
    /// The module.
    name: &'static str,
    /// How it is loaded.
    load: &'static str,
    /// What is typed then, and shown.
    command: &'static str,
    /// What the answer holds; the line with it is shown.
    answer: &'static str,
    /// How it is unloaded.
    unload: &'static str,
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "hello",
        load: "modprobe hello whom=yard",
        command: "dmesg --notime | grep 'hello: hello'",
        answer: "hello: hello, yard",
        unload: "rmmod hello",
    },
    Example {
        name: "dm_stripe2",
        load: "modprobe dm_stripe2 && modprobe simblk disks=2 && \
               echo '0 131072 stripe2 2 128 /dev/simblk0 0 /dev/simblk1 0' | dmsetup create striped",
        command: "lsblk -o NAME,SIZE /dev/mapper/striped",
        answer: "64M",
        unload: "dmsetup remove striped && rmmod simblk dm_stripe2",
    },
];

/// Every example in turn.
pub fn each(stage: &mut Stage<'_>) -> Result<()> {
    EXAMPLES.iter().try_for_each(|example| one(stage, example))
}

fn one(stage: &mut Stage<'_>, example: &Example) -> Result<()> {
    let Example { name, load, command, answer, unload } = example;
    let settle = "udevadm settle --timeout=20";
    let said = stage.quiet(&format!("{load} && {settle} && {command} && {settle} && {unload}"))?;
    expect(&said, answer)?;
    let line = said.lines().find(|line| line.contains(answer)).unwrap_or_default();
    say(&format!("{name:<14} # {command:<44} {}", line.trim()));
    Ok(())
}

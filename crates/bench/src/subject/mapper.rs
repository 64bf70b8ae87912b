// SPDX-License-Identifier: MIT OR Apache-2.0
//! Device-mapper targets. What they map to is brd for us and for the peer, so that what differs is the target alone.

use super::disk::{brd, module};
use super::{Contender, Subject};
use crate::workload::Suite;

/// MiB of each disk below.
const BASE_MIB: u64 = 128;
/// Sectors of each disk below.
const SECTORS: u64 = BASE_MIB << 11;
/// Sectors of a chunk of a stripe: 64 KiB.
const CHUNK: u64 = 128;

/// A pass-through target.
pub fn hello() -> Subject {
    let ours = target("hello", "dm_hello", &format!("0 {SECTORS} hello /dev/ram0 0"));
    let linear = built_in("dm-linear", "linear", &format!("0 {SECTORS} linear /dev/ram0 0"));
    over(1, Subject { peers: vec![linear, bare()], ..subject("dm_hello", Suite::Mapping, ours) })
}

/// A target that maps over two devices.
pub fn stripe2() -> Subject {
    let table = |name: &str| format!("0 {} {name} 2 {CHUNK} /dev/ram0 0 /dev/ram1 0", 2 * SECTORS);
    let ours = target("stripe2", "dm_stripe2", &table("stripe2"));
    let striped = built_in("dm-stripe", "striped", &table("striped"));
    over(2, Subject { peers: vec![striped], ..subject("dm_stripe2", Suite::Mapping, ours) })
}

/// A copy-on-write view.
pub fn snap() -> Subject {
    let ours = target("snap", "dm_snap", &format!("0 {SECTORS} snap /dev/ram0 0"));
    // Not persistent, in chunks of 8 sectors: what ours does. Its store, ram1, is of the origin's size, which
    // suffices as nothing of its own is kept there.
    let table = format!("0 {SECTORS} snapshot /dev/ram0 /dev/ram1 N 8");
    let peer = Contender {
        needs: module("dm_snapshot"),
        up: format!("modprobe dm_snapshot\n{}", create("snapshot", &table)),
        ..built_in("dm-snapshot", "snapshot", &table)
    };
    over(2, Subject { peers: vec![peer], ..subject("dm_snap", Suite::Snapshot, ours) })
}

fn subject(name: &'static str, suite: Suite, ours: Contender) -> Subject {
    Subject {
        name,
        suite,
        up: String::new(),
        down: String::new(),
        ours,
        peers: Vec::new(),
        plug: None,
        mib: BASE_MIB,
    }
}

/// Adds the disks below, filled.
fn over(disks: u32, subject: Subject) -> Subject {
    let base = brd(disks, BASE_MIB);
    let fills = (0..disks).map(|n| format!("\ngauge fill /dev/ram{n}")).collect::<String>();
    Subject { up: base.up + &fills, down: base.down, ..subject }
}

/// A target of ours, in a module of its own.
fn target(name: &'static str, driver: &'static str, table: &str) -> Contender {
    let own = built_in(driver, name, table);
    Contender {
        needs: module(driver),
        up: format!("modprobe {driver}\n{}", own.up),
        down: format!("{}\nrmmod {driver}", own.down),
        ..own
    }
}

/// A target that device-mapper has loaded already.
fn built_in(name: &'static str, target: &str, table: &str) -> Contender {
    Contender {
        name,
        needs: format!("dmsetup targets | grep -q '^{target} '"),
        up: create(target, table),
        down: format!("dmsetup remove --retry bench-{target}"),
        device: format!("/dev/mapper/bench-{target}"),
        bring: None,
    }
}

fn create(target: &str, table: &str) -> String {
    format!("dmsetup create bench-{target} --table '{table}'")
}

/// The disk below itself: what the target costs shows against it.
fn bare() -> Contender {
    Contender {
        name: "bare",
        needs: "true".into(),
        up: String::new(),
        down: String::new(),
        device: "/dev/ram0".into(),
        bring: None,
    }
}

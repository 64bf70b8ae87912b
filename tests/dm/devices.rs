// SPDX-License-Identifier: MIT OR Apache-2.0
//! What holds for every target: its devices, and the page that teaches how to write one.

use std::fs;
use std::path::Path;

use blockyard_lab::modules::build_folder;
use blockyard_tests::{kernel, machine, run};

use crate::{refused, script, with_modules};

#[test]
fn a_device_that_a_later_target_opens_for_more_stays_usable() {
    with_modules(&["simblk", "dm_snap", "dm_hello"], |guest| {
        script(
            guest,
            "head -c 8192 /dev/urandom >/tmp/r; dd if=/tmp/r of=/dev/simblk0 oflag=direct status=none",
        )?;
        // The first target reads only, the next ones write, so that the table replaces what the first one got.
        for others in ["linear /dev/simblk0 8", "hello /dev/simblk0 8"] {
            script(
                guest,
                &format!(
                    "printf '0 8 snap /dev/simblk0 0\\n8 8 {others}\\n' >/tmp/t
                     dmsetup create mixed </tmp/t; dmsetup table mixed
                     dd if=/dev/mapper/mixed iflag=direct bs=8k status=none | cmp - /tmp/r
                     dmsetup suspend mixed; dmsetup resume mixed; udevadm settle; dmsetup remove --retry mixed"
                ),
            )?;
        }
        // The same, undone in the middle.
        refused(
            guest,
            &[(
                "0 8 snap /dev/simblk0 0\n8 8 linear /dev/simblk0 8\n16 8 hello /dev/simblk0",
                "Invalid argument",
                "DEVICE START), 1 given",
            )],
        )?;
        script(guest, "udevadm settle; rmmod dm_snap; rmmod dm_hello; rmmod simblk").map(drop)
    });
}

/// The first block of code in a module's page.
fn example(page: &str) -> String {
    let lines = page.lines().filter_map(|line| line.strip_prefix("//!"));
    let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let block: Vec<_> =
        lines.skip_while(|line| *line != "```").skip(1).take_while(|line| *line != "```").collect();
    assert!(block.len() > 20, "the page has no example: {block:?}");
    format!("//! The example.\n#![deny(unsafe_code)]\n{}\n", block.join("\n"))
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder can be made");
        for entry in fs::read_dir(from).expect("a folder of ours can be read") {
            let entry = entry.expect("so can its entries");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    } else {
        fs::copy(from, to).expect("a file of ours can be copied");
    }
}

#[test]
fn the_example_on_the_page_is_a_driver() {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel");
    let tree = tempfile::tempdir().expect("there is room for a copy");
    for part in ["Kbuild", "abi", "bindings", "kit"] {
        copy(&ours.join(part), &tree.path().join(part));
    }
    let folder = tree.path().join("drivers/dm_pass");
    fs::create_dir_all(&folder).expect("a folder can be made");
    let page = fs::read_to_string(ours.join("kit/dm.rs")).expect("the page is there");
    fs::write(folder.join("dm_pass.rs"), example(&page)).expect("there is room");
    let built = build_folder(kernel(), tree.path()).expect("the example builds");
    let [pass] = &built[..] else { panic!("one module: {built:?}") };
    run(machine().driver(pass), |guest| {
        guest.load("simblk", "")?;
        guest.load("dm_pass", "")?;
        script(
            guest,
            "dmsetup create p --table '0 65536 pass /dev/simblk0'; dmsetup table p | grep -qx '0 65536 pass 252:0'
             mkfs.ext4 -q /dev/mapper/p; fsck.ext4 -f -n /dev/mapper/p >/dev/null
             udevadm settle; dmsetup remove --retry p; rmmod dm_pass",
        )
        .map(drop)
    });
}

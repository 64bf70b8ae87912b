// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every policy under real I/O: a checking workload, and a file system.

use blockyard_lab::{Guest, Result};
use blockyard_tests::with_simblk;

use crate::{fails, mapper};

const SIGTERM: i32 = 15;

/// Random writes in direct I/O, read back and checked: whole pages at depth, then pieces of any number of sectors.
const VERIFY: &str = "\
    fio --name=pages --filename=/dev/simblk0 --rw=randwrite --bs=4k --size=6m --direct=1 --ioengine=libaio \
        --iodepth=16 --verify=crc32c --do_verify=1 --randseed=7 && \
    fio --name=pieces --filename=/dev/simblk0 --rw=randwrite --bsrange=512-64k --blockalign=512 --size=7m \
        --direct=1 --ioengine=libaio --iodepth=1 --verify=crc32c --verify_backlog=20 --randseed=7";

const FILES: &str = "\
    mkfs.ext4 -qF /dev/simblk0 && mkdir -p /mnt/t && mount /dev/simblk0 /mnt/t && \
    head -c 2M /dev/urandom > /mnt/t/data && cp /mnt/t/data /tmp/data && umount /mnt/t && \
    mount /dev/simblk0 /mnt/t && cmp /tmp/data /mnt/t/data && umount /mnt/t && fsck.ext4 -fn /dev/simblk0";

/// Works under a policy; gives the summary that the program prints at its end.
fn work(guest: &Guest, policy: &str) -> Result<String> {
    guest.check("blkdiscard /dev/simblk0")?;
    let running = mapper(guest, &format!("io 0 --policy {policy}"))?;
    guest.check(VERIFY)?;
    guest.check(FILES)?;
    running.signal(SIGTERM)?;
    let output = running.wait()?;
    let said = format!("{}{}", output.stdout_text(), output.stderr_text());
    assert!(output.status.success(), "{policy}: {said}");
    assert!(said.contains("failed: ") && said.contains("lost: "), "{policy}: no summary: {said}");
    Ok(said)
}

/// The first number in the line of a summary that begins with `name`.
fn number(summary: &str, name: &str) -> u64 {
    let line =
        summary.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {summary}"));
    let digits: String =
        line.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number in {line}"))
}

#[test]
fn data_survives_every_policy() {
    with_simblk("size_mb=8", |guest| {
        for policy in ["identity", "shift=100", "random=7"] {
            let summary = work(guest, policy)?;
            assert_eq!((number(&summary, "failed:"), number(&summary, "lost:")), (0, 0), "{summary}");
        }
        Ok(())
    });
}

#[test]
fn the_log_reclaims_garbage_and_loses_nothing() {
    with_simblk("size_mb=8", |guest| {
        let summary = work(guest, "log")?;
        assert_eq!((number(&summary, "failed:"), number(&summary, "lost:")), (0, 0), "{summary}");
        assert!(
            number(&summary, "pages written:") > 2048,
            "more than the disk has, so that pages are used again"
        );
        assert!(!summary.contains(" 0 reclaimed"), "{summary}");
        fails(guest, "simctl io 1 --policy log", 1, "blkdiscard /dev/simblk0")
    });
}

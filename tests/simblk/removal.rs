// SPDX-License-Identifier: MIT OR Apache-2.0
//! Disks that are taken away while they are used.

use blockyard_tests::{repeated, with_simblk};

#[test]
fn removal_by_force_ends_io_with_errors_and_nothing_hangs() {
    with_simblk("", |guest| {
        let mut fio = guest
            .command([
                "/bin/sh",
                "-c",
                "echo started; exec fio --name=x --filename=/dev/simblk0 --rw=randrw --bs=4k --direct=1 \
                --ioengine=libaio --iodepth=16 --time_based --runtime=60 --output=/tmp/fio.log",
            ])
            .spawn()?;
        fio.wait_for_text("started", std::time::Duration::from_secs(10))?;
        guest.check("until [ \"$(cat /sys/kernel/debug/simblk/simblk0/writes)\" -gt 100 ]; do :; done")?;
        guest.check("simctl remove 0 --force")?;
        let ended = fio.wait()?;
        assert_ne!(ended.status.code(), 0, "fio did not notice");
        guest.check("grep -E 'Input/output error|No such device' /tmp/fio.log")?;
        // udev looks at the new disk, too.
        guest.check("simctl create && udevadm settle && rmmod simblk").map(drop)
    });
}

#[test]
fn a_reader_that_holds_a_removed_disk_open_gets_eio() {
    with_simblk("", |guest| {
        guest.check(
            "exec 3<>/dev/simblk0 && simctl remove 0 --force || exit 1
             for flag in '' iflag=direct; do
                 if dd bs=4k count=1 $flag of=/dev/null <&3 2>/tmp/err; then exit 1; fi
                 grep 'Input/output error' /tmp/err || exit 1
             done
             if dd bs=4k count=1 if=/dev/zero conv=notrunc >&3 2>/tmp/err; then exit 1; fi
             exec 3>&-; rmmod simblk",
        )?;
        Ok(())
    });
}

#[test]
fn a_mounted_disk_may_be_pulled_out() {
    with_simblk("", |guest| {
        guest.check(
            "mkfs.ext4 -q /dev/simblk0 && mkdir -p /mnt/a && mount /dev/simblk0 /mnt/a
             head -c 1000000 /dev/urandom >/mnt/a/f
             simctl remove 0 --force; ls /mnt/a >/dev/null; umount /mnt/a; rmmod simblk",
        )?;
        Ok(())
    });
}

#[test]
fn the_module_stays_while_a_removed_disk_is_open() {
    with_simblk("", |guest| {
        guest.check("exec 3<>/dev/simblk0; simctl remove 0 --force; ! rmmod simblk 2>/tmp/err; exec 3>&-")?;
        guest.check("grep 'in use' /tmp/err && rmmod simblk").map(drop)
    });
}

repeated!(opening_and_removing_race_without_harm, 12, 100);

fn opening_and_removing_race_without_harm(times: u32) {
    with_simblk("disks=0", |guest| {
        guest.check(&format!(
            "(for i in $(seq $(({times} * 4))); do head -c 512 /dev/simblk0 >/dev/null 2>&1; done) & opener=$!
             for i in $(seq {times}); do
                 simctl create --size 1M >/dev/null || exit 1
                 simctl remove 0 2>/dev/null || simctl remove 0 --force || exit 1
             done
             wait $opener; rmmod simblk"
        ))?;
        Ok(())
    });
}

#[test]
fn removal_under_discards_writes_and_a_mapper_frees_everything() {
    with_simblk("", |guest| {
        let mut mapper = guest.command(["simctl", "io", "0"]).spawn()?;
        mapper.wait_for_text("mapper of", std::time::Duration::from_secs(10))?;
        guest.check("dd if=/dev/zero of=/dev/simblk0 bs=64k count=100 oflag=direct status=none & simctl remove 0 --force; wait; true")?;
        assert_ne!(mapper.wait()?.status.code(), 0, "a mapper of a disk that is gone has nothing to do");
        guest.check("rmmod simblk").map(drop)
    });
}

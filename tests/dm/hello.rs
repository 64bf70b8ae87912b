// SPDX-License-Identifier: MIT OR Apache-2.0
//! `hello`, the target that passes everything on.

use blockyard_lab::{Guest, Result};
use blockyard_tests::repeated;

use crate::load::survives_reloads;
use crate::{Io, refused, script, with_modules};

#[test]
fn from_a_file_to_a_file_system_and_back() {
    with_modules(&["dm_hello"], |guest| {
        let tree = script(
            guest,
            "truncate -s 128M /tmp/disk; loop=$(losetup --show -f /tmp/disk)
             dmsetup targets | grep -E '^hello +v1\\.0\\.0$' >/dev/null
             dmsetup create greeting --table \"0 $(blockdev --getsz $loop) hello $loop 0\"
             lsblk -n -o NAME,TYPE $loop
             dd if=/dev/urandom of=/tmp/random bs=16k count=1 status=none
             dd if=/tmp/random of=/dev/mapper/greeting bs=16k conv=fsync status=none
             cmp -n 16384 /tmp/random /tmp/disk
             mkfs.ext4 -q /dev/mapper/greeting; mkdir /mnt/g; mount /dev/mapper/greeting /mnt/g
             touch /mnt/g/empty; cp /tmp/random /mnt/g/copy; ls /mnt/g | tr '\\n' ' '; umount /mnt/g
             mount /dev/mapper/greeting /mnt/g; cmp /tmp/random /mnt/g/copy; umount /mnt/g
             dmsetup remove --retry greeting; rmmod dm_hello; losetup -d $loop
             fsck.ext4 -f -n /tmp/disk >/dev/null",
        )?;
        let words: Vec<_> = tree.split_whitespace().collect();
        assert_eq!(words, ["loop0", "loop", "└─greeting", "dm", "copy", "empty", "lost+found"], "{tree}");
        Ok(())
    });
}

#[test]
fn a_wrong_argument_is_named_and_nothing_stays_open() {
    with_modules(&["simblk", "dm_hello"], |guest| {
        let invalid = "Invalid argument";
        refused(
            guest,
            &[
                ("0 8 hello", invalid, "hello: 2 arguments wanted (DEVICE START), 0 given"),
                ("0 8 hello /dev/simblk0", invalid, "hello: 2 arguments wanted (DEVICE START), 1 given"),
                ("0 8 hello /dev/simblk0 0 1", invalid, "hello: 2 arguments wanted (DEVICE START), 3 given"),
                (
                    "0 8 hello /dev/simblk0 x",
                    invalid,
                    "hello: argument 2 (start sector): 'x' is not a number",
                ),
                (
                    "0 8 hello /dev/simblk0 -1",
                    invalid,
                    "hello: argument 2 (start sector): '-1' is not a number",
                ),
                (
                    "0 8 hello /dev/simblk0 18446744073709551616",
                    invalid,
                    "argument 2 (start sector): '18446744073709551616' is too large a number",
                ),
                (
                    "0 8 hello /dev/simblk0 65529",
                    invalid,
                    "argument 2 (start sector): '65529' is too far: 8 sectors are wanted from there on, and 252:0 has 65536",
                ),
                ("0 8 hello /dev/simblk0 18446744073709551615", invalid, "'18446744073709551615' is too far"),
                (
                    "0 8 hello /dev/none 0",
                    "No such file or directory",
                    "argument 1 (device): '/dev/none' cannot be opened as a block device",
                ),
                ("0 8 hello /dev/null 0", "Block device required", "'/dev/null' cannot be opened"),
                // The first line is right, and must be undone.
                ("0 8 hello /dev/simblk0 0\n8 8 hello /dev/simblk0", invalid, "DEVICE START), 1 given"),
            ],
        )?;
        script(guest, "udevadm settle; rmmod dm_hello; rmmod simblk").map(drop)
    });
}

#[test]
fn the_offset_is_honoured_and_the_table_makes_the_same_again() {
    with_modules(&["simblk", "dm_hello"], |guest| {
        script(
            guest,
            "dmsetup create h --table '0 2048 hello /dev/simblk0 129'
             head -c 1048576 /dev/urandom >/tmp/r; dd if=/tmp/r of=/dev/mapper/h bs=64k oflag=direct status=none
             dd if=/dev/simblk0 bs=512 skip=129 count=2048 iflag=direct status=none | cmp - /tmp/r
             dd if=/dev/simblk0 bs=512 count=129 iflag=direct status=none | cmp -n 66048 - /dev/zero
             [ \"$(dmsetup status h)\" = '0 2048 hello ' ]
             dmsetup table h >/tmp/table; grep -qx '0 2048 hello 252:0 129' /tmp/table
             dmsetup remove --retry h; dmsetup create again </tmp/table; dmsetup table again | cmp - /tmp/table
             cmp /tmp/r /dev/mapper/again
             dmsetup remove --retry again; dmsetup create -r ro </tmp/table; cmp /tmp/r /dev/mapper/ro
             ! dd if=/dev/zero of=/dev/mapper/ro bs=512 count=1 status=none 2>/dev/null",
        )?;
        // An ioctl is for who owns the disk: passed on to it, decoded there.
        let ioctls = script(
            guest,
            "dmsetup create whole --table '0 65536 hello /dev/simblk0 0'
             echo 1 >/sys/kernel/debug/simblk/log_io
             python3 -c 'import fcntl, os; fcntl.ioctl(os.open(\"/dev/mapper/whole\", 0), 0x5331)' 2>&1 | tail -n 1
             dmesg | grep -o 'simblk0: ioctl .*'",
        )?;
        let expected = "OSError: [Errno 25] Inappropriate ioctl for device\n\
            simblk0: ioctl direction=none size=0 type=0x53 number=49";
        assert_eq!(ioctls.trim(), expected);
        Ok(())
    });
}

#[test]
fn what_is_in_use_stays() {
    with_modules(&["simblk", "dm_hello"], |guest| {
        script(
            guest,
            "dmsetup create h --table '0 2048 hello /dev/simblk0 0'; udevadm settle
             ! rmmod dm_hello 2>/tmp/err; grep -q 'in use' /tmp/err
             ! rmmod simblk 2>/tmp/err; grep -q 'in use' /tmp/err
             exec 3</dev/mapper/h
             ! dmsetup remove h 2>/tmp/err; grep -q 'Device or resource busy' /tmp/err
             cat <&3 | cmp -n 1048576 - /dev/zero
             exec 3<&-; dmsetup remove h; rmmod dm_hello; ! dmsetup targets | grep hello
             rmmod simblk",
        )
        .map(drop)
    });
}

#[test]
fn io_of_every_kind_arrives_below_once() {
    with_modules(&["simblk", "dm_hello"], |guest| {
        // Who looks at a disk that was written to is to wait until all is counted.
        let quiet = "udevadm settle; udevadm control --stop-exec-queue";
        script(guest, &format!("dmsetup create h --table '0 32768 hello /dev/simblk0 32768'; {quiet}"))?;
        for (command, expected) in [
            (
                "dd if=/dev/zero of=$d bs=64k count=4 oflag=direct status=none",
                Io { writes: 4, ..Io::default() },
            ),
            (
                "dd if=$d of=/dev/null bs=64k count=4 iflag=direct status=none",
                Io { reads: 4, ..Io::default() },
            ),
            ("sync $d", Io { flushes: 1, ..Io::default() }),
            ("blkdiscard -f -o 65536 -l 1048576 $d", Io { discards: 1, ..Io::default() }),
            ("blkdiscard -f -z -o 65536 -l 1048576 $d", Io { zeroes: 1, ..Io::default() }),
        ] {
            let before = Io::of(guest, 0)?;
            script(guest, &format!("d=/dev/mapper/h; {command}"))?;
            assert_eq!(Io::of(guest, 0)?.since(before), expected, "{command}");
        }
        // FUA arrives as FUA, and what the target logs is what the disk below logs, shifted.
        let log = script(
            guest,
            "echo 1 >/sys/kernel/debug/simblk/log_io; dmsetup message h 0 log on; dmesg -C
             dd if=/dev/zero of=/dev/mapper/h bs=4k count=1 seek=3 oflag=direct,dsync status=none
             dmsetup message h 0 log off
             dd if=/dev/mapper/h of=/dev/null bs=4k count=1 skip=5 iflag=direct status=none
             dmesg",
        )?;
        assert!(log.contains("device-mapper: 253:0: hello: Write of 8 sectors at 24, FUA"), "{log}");
        assert!(log.contains("simblk0: Write sector 32792 bytes 4096 fua"), "{log}");
        assert!(
            !log.contains("hello: Read") && log.contains("simblk0: Read sector 32808 bytes 4096"),
            "{log}"
        );
        guest.check("udevadm control --start-exec-queue")?;
        refused_messages(guest)
    });
}

fn refused_messages(guest: &Guest) -> Result<()> {
    for (message, sentence) in [
        ("log", "hello: message: 2 arguments wanted (log on|off), 1 given"),
        ("log maybe", "hello: message: argument 2 (switch): 'maybe' is neither 'on' nor 'off'"),
        ("lug on", "hello: message: argument 1 (command): 'lug' is not 'log'"),
    ] {
        let output = guest.exec(&format!("dmsetup message h 0 {message}"))?;
        assert!(output.stderr_text().contains("Invalid argument"), "{message}: {}", output.stderr_text());
        assert!(guest.dmesg()?.iter().any(|line| line.text.contains(sentence)), "{sentence}");
    }
    Ok(())
}

#[test]
fn suspending_and_reloading_under_load_loses_nothing() {
    with_modules(&["simblk", "dm_hello"], |guest| {
        script(guest, "dmsetup create h --table '0 32768 hello /dev/simblk0 8'; udevadm settle")?;
        let halves = "0 16384 hello /dev/simblk0 8\n16384 16384 linear /dev/simblk0 16392";
        let tables = ["0 32768 linear /dev/simblk0 8", "0 32768 hello /dev/simblk0 8", halves];
        survives_reloads(guest, "h", &tables, 1)?;
        script(guest, "udevadm settle; dmsetup remove --retry h; rmmod dm_hello").map(drop)
    });
}

repeated!(devices_come_and_go, 20, 500);

fn devices_come_and_go(times: u32) {
    with_modules(&["simblk", "dm_hello"], |guest| {
        script(
            guest,
            &format!(
                "for i in $(seq {times}); do
                     dmsetup create h --table \"0 8 hello /dev/simblk0 $i\"; dmsetup remove --retry h
                 done
                 udevadm settle; rmmod dm_hello; rmmod simblk"
            ),
        )
        .map(drop)
    });
}

#[test]
fn targets_stack_on_each_other_and_under_linear() {
    with_modules(&["simblk disks=2", "dm_hello", "dm_stripe2"], |guest| {
        script(
            guest,
            "dmsetup create a --table '0 65536 hello /dev/simblk0 0'
             dmsetup create b --table '0 131072 stripe2 2 16 /dev/mapper/a 0 /dev/simblk1 0'
             dmsetup create c --table '0 131072 linear /dev/mapper/b 0'
             dmsetup create d --table '0 65536 hello /dev/mapper/c 65536\n65536 65536 hello /dev/mapper/c 0'
             udevadm settle
             fio --name=v --filename=/dev/mapper/d --rw=randwrite --bsrange=512-256k --size=64m --io_size=16m --direct=1 \
                 --ioengine=io_uring --iodepth=32 --verify=crc32c --verify_fatal=1 --output=/tmp/log || { cat /tmp/log; exit 1; }
             for name in c b a; do ! dmsetup remove $name 2>/dev/null; done
             for name in d c b a; do udevadm settle; dmsetup remove --retry $name; done
             rmmod dm_hello; rmmod dm_stripe2; rmmod simblk",
        )
        .map(drop)
    });
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The examples of the book, one line each: loaded, asked for the one thing that tells what it is, unloaded. A driver that
//! has a step of its own has no line here.

use blockyard_lab::{Device, Result};

use super::stage::{Stage, expect, say};

/// The virtio device that is plugged in for its driver, and out again; the tour's machine expects it.
pub const DEVICE: &str = "hello";

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

const EXAMPLES: &[Example] = &[
    Example {
        name: "hello",
        load: "modprobe hello whom=yard",
        command: "dmesg --notime | grep 'hello: hello'",
        answer: "hello, yard",
        unload: "rmmod hello",
    },
    Example {
        name: "chardev",
        load: "modprobe chardev",
        command: "cat /dev/chardev",
        answer: "opened 1 time",
        unload: "rmmod chardev",
    },
    Example {
        name: "chardev_ioctl",
        load: "modprobe chardev_ioctl",
        command: "chrctl message set 'by ioctl'; chrctl message get",
        answer: "by ioctl",
        unload: "rmmod chardev_ioctl",
    },
    Example {
        name: "bytedev",
        load: "modprobe bytedev",
        command: "chrctl byte set A; head -c 20 /dev/bytedev",
        answer: "AAAAAAAAAAAAAAAAAAAA",
        unload: "rmmod bytedev",
    },
    Example {
        name: "procfile",
        load: "modprobe procfile",
        command: "echo 3 >/proc/procfile_squares; tail -n 1 /proc/procfile_squares",
        answer: "3 9",
        unload: "rmmod procfile",
    },
    Example {
        name: "sysobj",
        load: "modprobe sysobj",
        command: "cd /sys/kernel/sysobj; echo 42 >int; grep . int text",
        answer: "int:42",
        unload: "rmmod sysobj",
    },
    Example {
        name: "opensnoop",
        load: "modprobe opensnoop uid=65534 && \
               setpriv --reuid 65534 --clear-groups cat /etc/hostname",
        command: "dd if=/dev/opensnoop bs=64k count=1 iflag=nonblock status=none",
        answer: "/etc/hostname",
        unload: "rmmod opensnoop",
    },
    Example {
        name: "taskinfo",
        load: "modprobe taskinfo",
        command: "exec 3<>/proc/taskinfo/process; echo $$ >&3; cat <&3",
        answer: "name: sh",
        unload: "rmmod taskinfo",
    },
    Example {
        name: "tinyfs",
        load: "modprobe tinyfs",
        command: "mount --mkdir -t tinyfs none /mnt/tiny; df --output=fstype,size,target /mnt/tiny",
        answer: "/mnt/tiny",
        unload: "umount /mnt/tiny && rmmod tinyfs",
    },
    Example {
        name: "dm_stripe2",
        load: "modprobe dm_stripe2 && modprobe simblk disks=2 && \
               echo '0 131072 stripe2 2 128 /dev/simblk0 0 /dev/simblk1 0' | dmsetup create striped",
        command: "lsblk -o NAME,SIZE /dev/mapper/striped",
        answer: "64M",
        unload: "dmsetup remove striped && rmmod simblk dm_stripe2",
    },
    Example {
        name: "dm_gate",
        load: "modprobe dm_gate && modprobe simblk && \
               echo '0 65536 gate /dev/simblk0 0' | dmsetup create gated",
        command: "dmsetup message gated 0 shut writes; dmsetup status gated",
        answer: "gate writes 0",
        unload: "dmsetup remove gated && rmmod simblk dm_gate",
    },
    Example {
        name: "dm_snap",
        load: "modprobe dm_snap && modprobe simblk && \
               echo '0 65536 snap /dev/simblk0 0' | dmsetup create view",
        command: "dd if=/tmp/random of=/dev/mapper/view bs=4k oflag=direct; dmsetup status view",
        answer: "data pages",
        unload: "dmsetup remove view && rmmod simblk dm_snap",
    },
    Example {
        name: "virtio_simblk",
        load: "modprobe virtio_simblk && device=$(basename $(readlink -f /sys/block/vda/device)) && \
               echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind && \
               echo $device >/sys/bus/virtio/drivers/virtio_simblk/bind",
        command: "dd if=/tmp/random of=/dev/vsim0 bs=4k oflag=direct; lsblk -o NAME,SIZE /dev/vsim0",
        answer: "64M",
        unload: "modprobe -r virtio_simblk",
    },
    Example {
        name: "virtio_hello",
        // Nobody loads it: the device was plugged in, and udev knows whose it is.
        load: "udevadm wait --timeout=60 /dev/virtio_hello0-echo",
        command: "chrctl echo --reverse 'kcab dna ereht'",
        answer: "there and back",
        unload: "rmmod virtio_hello",
    },
];

/// Every example in turn.
pub fn each(stage: &mut Stage<'_>) -> Result<()> {
    EXAMPLES.iter().try_for_each(|example| one(stage, example))
}

/// The device that a driver is for, if it is one of ours.
fn device_of(driver: &str) -> Option<Device> {
    (driver == "virtio_hello").then(|| Device::new(DEVICE))
}

fn one(stage: &mut Stage<'_>, example: &Example) -> Result<()> {
    let Example { name, load, command, answer, unload } = example;
    let settle = "udevadm settle --timeout=20";
    let device = device_of(name).map(|device| stage.guest().attach_device(device)).transpose()?;
    stage.quiet(&format!("{load} && {settle}"))?;
    let said = stage.quiet(command)?;
    expect(&said, answer)?;
    let line = said.lines().find(|line| line.contains(answer)).unwrap_or_default();
    say(&format!("{name:<14} {:<44} # {command}", line.trim()));
    stage.quiet(&format!("{settle} && {unload}"))?;
    device.map_or(Ok(()), |device| stage.guest().detach_device(&device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tour_shows_every_driver() {
        let steps = ["simblk", "dm_hello"];
        for driver in blockyard_lab::modules::drivers().unwrap() {
            let has_line = EXAMPLES.iter().any(|example| example.name == driver);
            assert!(has_line || steps.contains(&driver.as_str()), "the tour shows nothing of {driver}");
        }
    }
}

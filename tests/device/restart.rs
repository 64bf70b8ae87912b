// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk whose QEMU is killed while it is written, and the QEMU that comes after it: the device outlives both.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use blockyard_lab::vhost_user::Shape;
use blockyard_lab::{Device, Kind, programs};
use blockyard_tests::run;

use crate::machine;

const LIMIT: Duration = Duration::from_secs(120);

/// Our disk, served by a process of its own rather than by the lab.
struct Server {
    process: Child,
    socket: PathBuf,
    log: PathBuf,
    _program: programs::DeviceProgram,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let program = programs::device().unwrap();
        let (socket, log) = (folder.join("disk.sock"), folder.join("log"));
        let process = Command::new(program.path())
            .arg("blk,size=64M,queues=2")
            .arg("--socket")
            .arg(&socket)
            // It says when a front end comes and goes.
            .env("RUST_LOG", "info")
            .stderr(std::fs::File::create(&log).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, socket, log, _program: program };
        wait_until("the device listens", || server.socket.exists());
        server
    }

    /// The disk for a machine. What the lab starts and ends is but a name for the socket.
    fn disk(&self) -> Device {
        let shape = Shape { kind: "blk".into(), virtio_id: 2, queues: 2, queue_size: 128, config_size: 60 };
        let link = format!("ln -s '{}' {{socket}} && exec sleep infinity", self.socket.display());
        Device::program(shape, "sh", ["-c", &link])
    }

    /// How many writes it has done, as it says when it gets SIGUSR1.
    fn writes(&self) -> u64 {
        let lines = || {
            let log = std::fs::read_to_string(&self.log).unwrap();
            log.lines().filter(|line| line.starts_with("{\"blk.")).map(str::to_owned).collect::<Vec<_>>()
        };
        let before = lines().len();
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::USR1).expect("it runs");
        wait_until("the device tells its counters", || lines().len() > before);
        let last = lines().pop().unwrap();
        let figures: serde_json::Value = serde_json::from_str(&last).expect("it is JSON");
        figures["blk.writes"].as_u64().unwrap_or_else(|| panic!("no blk.writes in {last}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended, which a test has seen then.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LIMIT, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Writes numbered blocks, and says each number when its block is written; beside a load on the disk's other half.
const WRITER: &str = "udevadm settle
    fio --name=l --filename=/dev/vda --offset=32m --rw=randwrite --bsrange=4k-64k --direct=1 --ioengine=libaio \
        --iodepth=64 --time_based --runtime=600 >/dev/null 2>&1 &
    i=0; while printf %-4096s $i | dd of=/dev/vda bs=4k seek=$i count=1 iflag=fullblock oflag=direct status=none; do
        echo written $i.; i=$((i + 1))
    done";

#[test]
fn what_was_written_before_qemu_was_killed_is_there_for_the_next_one_and_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());

    let guest = machine().cpus(2).device(server.disk()).boot().unwrap();
    let mut writer = guest.command(["/bin/sh", "-c", WRITER]).spawn().unwrap();
    writer.wait_for_text("written 50.", LIMIT).unwrap();
    let qemu = rustix::process::Pid::from_raw(guest.qemu_pid() as i32).unwrap();
    rustix::process::kill_process(qemu, rustix::process::Signal::KILL).unwrap();
    assert_eq!(writer.wait().unwrap_err().kind(), Kind::MachineDied);
    assert_eq!(guest.finish().unwrap_err().kind(), Kind::MachineDied);
    let gone = "the front end has gone";
    wait_until("the device notices", || std::fs::read_to_string(&server.log).unwrap().contains(gone));
    let writes = server.writes();

    run(machine().cpus(2).device(server.disk()), |guest| {
        guest.check(
            "udevadm settle
             for i in $(seq 0 50); do
                 found=$(dd if=/dev/vda bs=4k skip=$i count=1 iflag=direct status=none | tr -d ' ')
                 [ \"$found\" = $i ] || { echo \"block $i has $found\"; exit 1; }
             done",
        )?;
        assert_eq!(server.writes(), writes, "a write of the guest before was done again");
        guest.check(
            "set -e; mkfs.ext4 -q -F /dev/vda; mount /dev/vda /mnt; head -c 9M /dev/urandom >/mnt/r; umount /mnt
             fsck.ext4 -fn /dev/vda",
        )?;
        Ok(())
    });
}

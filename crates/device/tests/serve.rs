// SPDX-License-Identifier: MIT OR Apache-2.0
//! Devices behind a socket: connections that come and go, ends that are clean and ends that are not.

mod common;
#[path = "common/front_end.rs"]
mod front_end;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use blockyard_device::mock::{Driver, Part, Used, memory};
use blockyard_device::{Device, DeviceSpec, MemoryHold, ServeOptions, Stop, serve};
use common::Echo;
use front_end::FrontEnd;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vm_memory::{Bytes, GuestAddress};

/// A device that is served by a thread of this process.
struct Served {
    dir: TempDir,
    stop: Stop,
    thread: Option<JoinHandle<blockyard_device::Result<()>>>,
}

impl Served {
    fn new(device: Arc<dyn Device>) -> Self {
        let (dir, stop) = (tempfile::tempdir().unwrap(), Stop::new().unwrap());
        let options = ServeOptions { socket: dir.path().join("s"), trace: None };
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || serve(device, &options, &stop)
        });
        Self { dir, stop, thread: Some(thread) }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn end(&mut self) {
        self.stop.stop();
        self.thread.take().unwrap().join().unwrap().unwrap();
        assert!(!self.socket().exists());
    }
}

/// A device in a process of its own, which is gone with this value.
struct Process(Child);

impl Process {
    fn new(spec: &str, socket: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blockyard-device"));
        let child = command.arg(spec).arg("--socket").arg(socket).stdin(Stdio::null()).stderr(Stdio::piped());
        Self(child.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn kill(mut self) {
        self.signal(Signal::KILL);
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn guest(size: u16) -> (MemoryHold, Driver) {
    let memory = memory();
    (memory.clone(), Driver::new(memory, size, true))
}

fn make(spec: &str) -> Arc<dyn Device> {
    spec.parse::<DeviceSpec>().unwrap().make().unwrap()
}

fn write(sector: u64, byte: u8) -> [Part; 3] {
    let header = [&1_u32.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat();
    [Part::Read(header), Part::Read(vec![byte; 512]), Part::Write(1)]
}

fn read(sector: u64) -> [Part; 3] {
    let header = [&[0; 8][..], &sector.to_le_bytes()].concat();
    [Part::Read(header), Part::Write(512), Part::Write(1)]
}

fn exchange(front_end: &FrontEnd, driver: &mut Driver, parts: &[Part]) -> Used {
    driver.send(parts);
    front_end.kick();
    front_end.wait(driver, 1).remove(0)
}

#[test]
fn a_front_end_that_comes_back_finds_the_disk_as_it_left_it() {
    let mut served = Served::new(make("blk,size=1M"));
    for connection in 0..3_u8 {
        let (memory, mut driver) = guest(16);
        let mut front_end = FrontEnd::connect(&served.socket(), &driver, &memory);
        assert_eq!(front_end.config(60)[..8], 2048_u64.to_le_bytes());
        let found = exchange(&front_end, &mut driver, &read(5));
        assert_eq!(found.bytes[..512], [connection; 512]);
        let written = exchange(&front_end, &mut driver, &write(5, connection + 1));
        assert_eq!(written.bytes, [0]);
        if connection == 1 {
            assert_eq!(front_end.stop(), 2, "a queue that is stopped tells how far it got");
        }
    }
    served.end();
}

/// A driver that resets the device and takes it again, as a reboot or a reload does: the connection stays.
#[test]
fn a_queue_that_was_stopped_starts_anew() {
    let mut served = Served::new(make("blk,size=1M"));
    let (memory, mut driver) = guest(16);
    let mut front_end = FrontEnd::connect(&served.socket(), &driver, &memory);
    for round in 0..20_u16 {
        for i in 0..round {
            exchange(&front_end, &mut driver, &write(i.into(), round as u8));
        }
        assert_eq!(front_end.stop(), round);
        // The rings of the driver that comes next are empty.
        driver = Driver::new(memory.clone(), 16, true);
        memory.write_slice(&[0; 0xf_f000], GuestAddress(0x1000)).unwrap();
        front_end.start(&driver, &memory);
    }
    served.end();
}

#[test]
fn the_configuration_ends_with_zeroes() {
    let mut served = Served::new(make("blk,size=1M"));
    let (memory, driver) = guest(16);
    let mut front_end = FrontEnd::connect(&served.socket(), &driver, &memory);
    assert_eq!(front_end.config(100)[60..], [0; 40]);
    served.end();
}

/// A backend may have died after it gave back a chain and before it told. Nobody else tells.
#[test]
fn a_queue_that_starts_notifies_once() {
    let mut served = Served::new(make("blk,size=1M"));
    let (memory, driver) = guest(16);
    let front_end = FrontEnd::connect(&served.socket(), &driver, &memory);
    assert!(front_end.notified(Duration::from_secs(20)));
    served.end();
}

/// All that is under way is finished and given back before the connection is closed.
#[test]
fn a_server_that_is_stopped_gives_back_what_it_has() {
    let echo = Arc::new(Echo::default());
    *echo.slow.lock().unwrap() = true;
    let mut served = Served::new(echo.clone());
    let (memory, mut driver) = guest(16);
    let front_end = FrontEnd::connect(&served.socket(), &driver, &memory);
    for i in 0..5 {
        driver.send(&[Part::Read(vec![i]), Part::Write(1)]);
    }
    front_end.kick();
    echo.wait_until_kept(5);
    assert_eq!(driver.used_idx(), 0);
    served.end();
    assert_eq!(driver.used_idx(), 5);
    assert_eq!(
        front_end.wait(&mut driver, 5).iter().map(|used| used.bytes[0]).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4]
    );
}

#[test]
fn a_server_ends_without_a_connection_too() {
    let mut served = Served::new(make("blk,size=1M"));
    served.end();
}

/// Nothing that was acknowledged is lost or comes again, and nothing is left undone: each chain comes back once, in
/// order, however often and whenever the backend is killed.
#[test]
fn a_backend_that_is_killed_leaves_nothing_undone() {
    let dir = tempfile::tempdir().unwrap();
    let (image, socket) = (dir.path().join("disk"), dir.path().join("s"));
    std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let spec = format!("blk,file={}", image.display());
    let (memory, mut driver) = guest(128);
    // What each sector has, as far as it was acknowledged; and the writes on their way, in order.
    let mut acknowledged = [0_u8; 40];
    let mut on_their_way: Vec<(u16, usize, u8)> = Vec::new();
    let mut byte = 0_u8;
    for round in 0..40 {
        let process = Process::new(&spec, &socket);
        let front_end = FrontEnd::connect(&socket, &driver, &memory);
        for burst in 0..=round % 7 {
            // A sector has one write on its way at a time, as a driver's order of two would be anybody's guess.
            for sector in 0..40 {
                if on_their_way.len() < 40 && on_their_way.iter().all(|(_, other, _)| *other != sector) {
                    byte = byte.wrapping_add(1);
                    on_their_way.push((driver.send(&write(sector as u64, byte)), sector, byte));
                }
            }
            front_end.kick();
            let wanted = if burst < round % 7 { on_their_way.len() } else { round % 3 };
            for used in front_end.wait(&mut driver, wanted) {
                let (head, sector, byte) = on_their_way.remove(0);
                assert_eq!((used.head, used.bytes), (head, vec![0]), "in order, and well");
                acknowledged[sector] = byte;
            }
        }
        process.kill();
        for used in std::iter::from_fn(|| driver.used()) {
            let (head, sector, byte) = on_their_way.remove(0);
            assert_eq!(used.head, head);
            acknowledged[sector] = byte;
        }
    }
    let _process = Process::new(&spec, &socket);
    let front_end = FrontEnd::connect(&socket, &driver, &memory);
    for used in front_end.wait(&mut driver, on_their_way.len()) {
        let (head, sector, byte) = on_their_way.remove(0);
        assert_eq!(used.head, head);
        acknowledged[sector] = byte;
    }
    for (sector, byte) in acknowledged.iter().enumerate() {
        let found = exchange(&front_end, &mut driver, &read(sector as u64));
        assert_eq!(found.bytes[..512], [*byte; 512], "sector {sector}");
    }
}

#[test]
fn a_process_ends_cleanly_when_it_is_told() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let mut process = Process::new("blk,size=1M", &socket);
        let (memory, mut driver) = guest(16);
        let front_end = FrontEnd::connect(&socket, &driver, &memory);
        exchange(&front_end, &mut driver, &write(0, 1));
        process.signal(signal);
        assert!(process.0.wait().unwrap().success());
        assert!(!socket.exists());
    }
}

#[test]
fn a_bad_description_ends_with_2_and_a_word() {
    let output = Command::new(env!("CARGO_BIN_EXE_blockyard-device"))
        .args(["blk,size=1M,queues=99", "--describe"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: option `queues` cannot be `99`: it is a number from 1 to 16\n");
}

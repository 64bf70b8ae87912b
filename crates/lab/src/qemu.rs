// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU: finding it, and the command line of a machine.
//!
//! The machine is QEMU's `q35`, with nothing but what is named here: a serial console with a log, two
//! virtio-serial ports for the agent, QMP, a source of randomness, and virtio disks. (`pc` has the kernel run a
//! loop of AML for the interrupt of each device: a tenth of a second, and under KASAN and emulation half a minute.)
//! Each disk sits behind a PCIe root port of its own, where it can be plugged in and out, and has a serial; the
//! root file system's is behind the last port, so that the user's disks are vda, vdb and so on, in order. Devices that
//! a program of their own serves ([`crate::vhost_user`]) have such ports, too, after the disks.
//!
//! The guest's memory is QEMU's own, unless such a program has to see it: then it is a memfd that both map.

mod program;
mod unpacked;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use blockyard_proto::{OWNER_PORT, QUIET_LOGLEVEL, ROOT_SERIAL, VISITOR_PORT};

use crate::accel::Engine;
use crate::error::{Error, Kind, Result};
use crate::process::{Command, find_program};
use crate::version::Version;
use crate::vhost_user::Frontend;

pub use self::program::{Qemu, QemuChoice};

/// The oldest QEMU that the lab was run with.
const OLDEST: (u32, u32) = (7, 2);
/// How many disks and devices the user may have in a machine at a time.
pub const MAX_PORTS: u8 = 27;
/// Ports that are left free for what is plugged in later. Each costs the guest some milliseconds at boot.
const SPARE_PORTS: u8 = 4;
/// The first PCI slot of the ports, eight to a slot; those before it are our own devices'.
const FIRST_PORT_SLOT: u8 = 4;

/// Names of the files in a guest's runtime folder.
pub mod names {
    /// QMP's socket.
    pub const QMP: &str = "qmp.sock";
    /// The agent's port for the process that booted the guest.
    pub const OWNER: &str = "owner.sock";
    /// The agent's port for other processes.
    pub const VISITOR: &str = "visitor.sock";
    /// The serial console.
    pub const CONSOLE: &str = "console.sock";
    /// Everything that the serial console has said.
    pub const CONSOLE_LOG: &str = "console.log";
}

/// The system's QEMU, or what is wrong with it.
pub fn find() -> Result<PathBuf> {
    find_program("qemu-system-x86_64").ok_or_else(|| {
        Error::new(Kind::Need, "qemu-system-x86_64 is not installed").with_help(
            "install the package qemu-system-x86; `./yard doctor` lists everything that is missing",
        )
    })
}

/// The version of a QEMU; an error if it is older than the lab knows how to use.
pub fn version(qemu: &Path) -> Result<Version> {
    version_of(Command::new(qemu), qemu)
}

fn version_of(command: Command<'_>, qemu: &Path) -> Result<Version> {
    let said = command.arg("--version").read()?;
    let said = String::from_utf8_lossy(&said).into_owned();
    let version = Version::find(&said).ok_or_else(|| {
        Error::new(Kind::Need, format!("{} does not tell its version: {said}", qemu.display()))
    })?;
    if version < Version::new(OLDEST.0, OLDEST.1, 0) {
        let message = format!("QEMU {version} is too old: the lab needs {}.{}", OLDEST.0, OLDEST.1);
        return Err(Error::new(Kind::Need, message));
    }
    Ok(version)
}

/// A disk as QEMU attaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// Names it in QMP: letters, digits and dashes.
    pub id: String,
    /// The image.
    pub file: PathBuf,
    /// `raw` or `qcow2`.
    pub format: String,
    /// What the guest sees in /sys/block/*/serial: at most 20 bytes.
    pub serial: String,
    /// The root port, counted from 0.
    pub port: u8,
    /// Refuses writes.
    pub read_only: bool,
}

impl Drive {
    /// QMP's and `-blockdev`'s description of the image. Discards reach the file, and holes stay holes.
    pub fn blockdev(&self) -> serde_json::Value {
        serde_json::json!({
            "driver": self.format, "node-name": self.id, "read-only": self.read_only, "discard": "unmap",
            "file": { "driver": "file", "filename": self.file.display().to_string(), "read-only": self.read_only,
                      "discard": "unmap", "aio": "threads" },
        })
    }

    /// QMP's and `-device`'s description of the disk. What the host cannot do is an error of the guest's I/O: QEMU's own
    /// choice is to stop the machine when the host's disk is full, and to wait for somebody who makes room.
    pub fn device(&self) -> serde_json::Value {
        serde_json::json!({
            "driver": "virtio-blk-pci", "id": format!("dev-{}", self.id), "drive": self.id,
            "serial": self.serial, "bus": port_name(self.port), "werror": "report", "rerror": "report",
        })
    }
}

/// How many ports a machine has for the user that boots with this many in use.
pub fn ports(used: u8) -> u8 {
    used.saturating_add(SPARE_PORTS).min(MAX_PORTS)
}

pub(crate) fn port_name(port: u8) -> String {
    format!("port{port}")
}

/// Where a port is on the first PCI bus: slot and function.
fn port_place(port: u8) -> (u8, u8) {
    (FIRST_PORT_SLOT + port / 8, port % 8)
}

/// A port's PCI address, as the guest has it.
pub(crate) fn port_address(port: u8) -> String {
    let (slot, function) = port_place(port);
    format!("0000:00:{slot:02x}.{function}")
}

/// Forwards of QEMU's user network: ports on 127.0.0.1 and in the guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    /// (host port, guest port), TCP.
    pub forwards: Vec<(u16, u16)>,
}

/// All of a machine's command line.
#[derive(Debug)]
pub struct Launch<'a> {
    /// How the processor is run.
    pub engine: Engine,
    /// The kernel's image.
    pub kernel: &'a Path,
    /// The initramfs.
    pub initramfs: &'a Path,
    /// More words for the kernel's command line.
    pub append: &'a [String],
    /// Memory in MiB.
    pub mem_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// The root file system's image.
    pub root: &'a Path,
    /// The user's disks.
    pub drives: &'a [Drive],
    /// The user's devices that programs of their own serve.
    pub frontends: &'a [Frontend],
    /// Whether other programs can map the guest's memory.
    pub shared_memory: bool,
    /// How many ports the user has; the root file system's is the next.
    pub ports: u8,
    /// The network, if any.
    pub network: Option<&'a Network>,
    /// The guest's runtime folder: sockets and the console's log.
    pub runtime: &'a Path,
}

impl Launch<'_> {
    /// The arguments.
    pub fn args(&self) -> Vec<OsString> {
        let mut args = Args::default();
        args.words(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]);
        self.memory(&mut args);
        args.words(self.engine.qemu_args().iter().copied());
        args.pair("-smp", self.cpus.to_string());
        args.pair("-kernel", self.kernel)
            .pair("-initrd", self.initramfs)
            .pair("-append", self.command_line());
        self.console(&mut args);
        self.agent_ports(&mut args);
        args.pair("-device", "virtio-rng-pci,rng=random,addr=0x3").pair("-object", "rng-builtin,id=random");
        let root = self.root_drive();
        (0..=root.port).for_each(|port| args.port(port));
        self.drives.iter().chain([&root]).for_each(|drive| args.drive(drive));
        self.frontends.iter().for_each(|frontend| args.frontend(frontend));
        self.net(&mut args);
        args.0
    }

    fn command_line(&self) -> String {
        // panic=-1 with -no-reboot: a kernel that panics ends QEMU at once.
        let mut line = String::from("console=ttyS0,115200 panic=-1 rdinit=/init mitigations=off");
        // The boot's three hundred lines would take a tenth of the boot to print. The agent has what comes after it
        // printed too, and a kernel that panics prints all that it had kept.
        line.push_str(&format!(" loglevel={QUIET_LOGLEVEL} panic_console_replay"));
        line.push_str(" printk.devkmsg=on random.trust_cpu=on nokaslr");
        // On a loaded host an emulated timer may be late, which the kernel would take for a broken one: its check
        // of the IO-APIC's timer panics, its watchdog gives up the TSC.
        line.push_str(" no_timer_check tsc=nowatchdog");
        self.append.iter().for_each(|word| line.push_str(&format!(" {word}")));
        line
    }

    fn memory(&self, args: &mut Args) {
        let machine = "q35,vmport=off";
        args.pair("-m", self.mem_mib.to_string());
        if self.shared_memory {
            args.pair("-object", format!("memory-backend-memfd,id=memory,size={}M,share=on", self.mem_mib));
            args.pair("-machine", format!("{machine},memory-backend=memory"));
        } else {
            args.pair("-machine", machine);
        }
    }

    fn console(&self, args: &mut Args) {
        let (socket, log) = (self.socket(names::CONSOLE), self.runtime.join(names::CONSOLE_LOG));
        let log = comma_safe(&log);
        args.pair("-chardev", format!("{},id=console,logfile={log}", socket))
            .pair("-serial", "chardev:console");
        args.pair("-chardev", format!("{},id=qmp", self.socket(names::QMP)))
            .pair("-mon", "chardev=qmp,mode=control");
    }

    fn agent_ports(&self, args: &mut Args) {
        args.pair("-device", "virtio-serial-pci,id=ports,max_ports=4,addr=0x2");
        for (nr, (file, name)) in
            [(names::OWNER, OWNER_PORT), (names::VISITOR, VISITOR_PORT)].iter().enumerate()
        {
            args.pair("-chardev", format!("{},id=port{nr}", self.socket(file)));
            let nr_on_bus = nr + 1;
            args.pair(
                "-device",
                format!("virtserialport,bus=ports.0,nr={nr_on_bus},chardev=port{nr},name={name}"),
            );
        }
    }

    fn net(&self, args: &mut Args) {
        let Some(network) = self.network else { return };
        let mut user = String::from("user,id=net");
        for (host, guest) in &network.forwards {
            user.push_str(&format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}"));
        }
        args.pair("-netdev", user).pair("-device", "virtio-net-pci,netdev=net");
    }

    fn root_drive(&self) -> Drive {
        Drive {
            id: "root".into(),
            file: self.root.into(),
            format: "raw".into(),
            serial: ROOT_SERIAL.into(),
            port: self.ports,
            read_only: true,
        }
    }

    fn socket(&self, name: &str) -> String {
        format!("socket,server=on,wait=off,path={}", comma_safe(&self.runtime.join(name)))
    }
}

#[derive(Default)]
struct Args(Vec<OsString>);

impl Args {
    fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        self.0.extend(words.into_iter().map(OsString::from));
    }

    fn pair(&mut self, flag: &str, value: impl Into<OsString>) -> &mut Self {
        self.0.extend([flag.into(), value.into()]);
        self
    }

    fn port(&mut self, port: u8) {
        let (slot, function) = port_place(port);
        let name = port_name(port);
        let number = port + 1;
        let place = format!("bus=pcie.0,addr=0x{slot:x}.{function},multifunction=on");
        self.pair("-device", format!("pcie-root-port,id={name},{place},chassis={number},slot={number}"));
    }

    fn frontend(&mut self, frontend: &Frontend) {
        self.pair("-chardev", frontend.chardev(&comma_safe(&frontend.socket)));
        self.pair("-device", frontend.device().to_string());
    }

    fn drive(&mut self, drive: &Drive) {
        self.pair("-blockdev", drive.blockdev().to_string()).pair("-device", drive.device().to_string());
    }
}

/// QEMU's own option syntax takes a doubled comma for a comma.
fn comma_safe(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive() -> Drive {
        Drive {
            id: "disk0".into(),
            file: "/images/a,b.raw".into(),
            format: "raw".into(),
            serial: "data".into(),
            port: 0,
            read_only: false,
        }
    }

    fn line(network: Option<&Network>) -> String {
        let launch = Launch {
            engine: Engine::Tcg,
            kernel: Path::new("/k"),
            initramfs: Path::new("/i"),
            append: &["x=1".into()],
            mem_mib: 512,
            cpus: 2,
            root: Path::new("/r"),
            drives: &[drive()],
            frontends: &[],
            shared_memory: false,
            ports: ports(1),
            network,
            runtime: Path::new("/run/a,b"),
        };
        let args = launch.args();
        args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn there_is_no_network_unless_asked_for() {
        assert!(!line(None).contains("-netdev"));
        let network = Network { forwards: vec![(8080, 80)] };
        assert!(line(Some(&network)).contains("hostfwd=tcp:127.0.0.1:8080-:80"));
    }

    #[test]
    fn a_comma_in_a_path_survives() {
        let line = line(None);
        assert!(line.contains("path=/run/a,,b/qmp.sock"), "{line}");
        assert!(line.contains("\"filename\":\"/images/a,b.raw\""), "{line}");
    }

    #[test]
    fn the_root_is_read_only_and_behind_the_users_disks() {
        let line = line(None);
        assert!(
            line.contains("\"serial\":\"blockyard-root\"") && line.contains("\"bus\":\"port5\""),
            "{line}"
        );
        assert!(line.contains("\"serial\":\"data\"") && line.contains("\"bus\":\"port0\""), "{line}");
        assert!(line.contains("\"werror\":\"report\"") && line.contains("\"rerror\":\"report\""), "{line}");
    }
}

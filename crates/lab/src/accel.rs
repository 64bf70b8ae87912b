// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the guest's processor is run: by KVM where that works, else by emulation (TCG).
//!
//! A `/dev/kvm` that exists proves nothing: in a container or a nested machine it may refuse to open, or accept
//! a guest and never run it, or run firmware and no kernel: a KVM without the processor's help takes guests that were
//! written for it, and emulates others until an instruction comes that it cannot. So KVM is probed by running a guest:
//! a boot sector that enters protected mode, takes a breakpoint there (as Linux does while it boots, and as emulation in
//! KVM does not: `emulate_int()` in arch/x86/kvm/emulate.c), and from there ends QEMU through its debug-exit
//! device, with a deadline. The answer is remembered for this QEMU, this boot of the
//! host and this user, and for an hour, as what was in the way may be gone by then (a module's parameter, a load that
//! made the deadline pass); whether `/dev/kvm` can be opened is asked each time. Without KVM, one line on stderr
//! says so, because a figure taken under emulation is another figure.

use std::fmt;
use std::path::Path;
use std::sync::Once;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::cache::{Cache, Key};
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::progress;
use crate::qemu::Qemu;

/// What the caller wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Accel {
    /// KVM if it works here, else TCG.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// Emulation.
    Tcg,
    /// Emulation whose clock counts instructions; takes one processor.
    Icount,
}

/// What a guest runs under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The host kernel's virtual machines.
    Kvm,
    /// QEMU's emulation: about ten times slower, works everywhere.
    Tcg,
    /// Emulation in which a nanosecond of the guest's time is one instruction that it has executed. The same work takes the
    /// same time however busy the host is, so that what a path costs can be counted. While the guest idles, its clock jumps
    /// to the next timer.
    Icount,
}

impl Engine {
    /// QEMU's arguments for the processor.
    ///
    /// Under TCG all guest processors share one thread of the host. With a thread each, a kernel that patches code while
    /// another processor runs it (static keys, kprobes, alternatives) now and then meets its own breakpoint there and
    /// dies with `Oops: int3`: seen with QEMU 7.2 in about one boot of ten on a loaded host.
    ///
    /// No processor has 5-level page tables (LA57). Where KASAN's shadow begins depends on them, and is patched into the
    /// kernel while it boots: an interrupt that comes in between is reported as an invalid access (Linux 7.3,
    /// arch/x86/kernel/alternative.c tells of it). On a loaded host some boots of the debug kernel failed by it. No
    /// guest has memory that would need a fifth level.
    pub fn qemu_args(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host,la57=off"],
            Self::Tcg => &["-accel", "tcg,thread=single", "-cpu", "max,la57=off"],
            Self::Icount => {
                &["-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-icount", "shift=0,sleep=off"]
            }
        }
    }

    /// The most processors that a guest can have: a count of instructions is that of one.
    pub fn max_cpus(self) -> u32 {
        match self {
            Self::Kvm | Self::Tcg => u32::MAX,
            Self::Icount => 1,
        }
    }

    /// A time-out that is right for KVM, for this engine.
    pub fn scale(self, time: Duration) -> Duration {
        match self {
            Self::Kvm => time,
            Self::Tcg => time * 5,
            Self::Icount => time * 10,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Icount => "icount",
        })
    }
}

/// How long the probe's guest may take; it needs about 0.2 s.
const DEADLINE: Duration = Duration::from_secs(4);
/// How long the probe's answer is taken for true.
const VALID: Duration = Duration::from_secs(3600);
/// The kind of the cache's entries.
const PROBES: &str = "accel";
/// QEMU's exit status after `out 0xf4, 0x2a`: twice the value plus one.
const ALIVE: i32 = 0x2a * 2 + 1;

/// What the probe saw.
#[derive(Debug, Serialize, Deserialize)]
enum Probe {
    Works,
    Fails(String),
}

/// What a guest under this QEMU will run under. An error if KVM was asked
/// for and does not work.
pub fn choose(wanted: Accel, qemu: &Qemu) -> Result<Engine> {
    match wanted {
        Accel::Tcg => return Ok(Engine::Tcg),
        Accel::Icount => return Ok(Engine::Icount),
        Accel::Auto | Accel::Kvm => {}
    }
    match (remembered(qemu)?, wanted) {
        (Probe::Works, _) => Ok(Engine::Kvm),
        (Probe::Fails(why), Accel::Kvm) => {
            Err(Error::new(Kind::Need, format!("KVM does not work here: {why}"))
                .with_help("leave --accel out (or give --accel tcg) to run under emulation"))
        }
        (Probe::Fails(why), _) => {
            static SAID: Once = Once::new();
            SAID.call_once(|| {
                progress::note(format!("running under emulation (TCG), several times slower: {why}"))
            });
            Ok(Engine::Tcg)
        }
    }
}

/// The probe's answer for this QEMU, this /dev/kvm and this boot of the host, asked once in [`VALID`].
fn remembered(qemu: &Qemu) -> Result<Probe> {
    let Ok(device) = std::fs::metadata("/dev/kvm") else {
        return Ok(Probe::Fails("this machine has no /dev/kvm".into()));
    };
    if let Err(e) = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Ok(Probe::Fails(format!("/dev/kvm cannot be opened ({e})")));
    }
    let cache = Cache::open()?;
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let of_this_qemu = Key::new("kvm").with("qemu", qemu.program().as_os_str().as_encoded_bytes()).name();
    let key = Key::new(&of_this_qemu)
        .with("boot", files::read(Path::new("/proc/sys/kernel/random/boot_id"))?)
        .with("guest", boot_sector())
        .with("device", format!("{device:?}"))
        .with("time", (since_epoch.as_secs() / VALID.as_secs()).to_string())
        .with("user", rustix::process::geteuid().as_raw().to_string())
        .with("qemu file", format!("{:?}", std::fs::metadata(qemu.program()).ok()));
    let lease = cache.entry(PROBES, &key)?.get_or_make("the probe of KVM", |dir| {
        // Older answers, of which nobody asks any more.
        cache.clean_of(PROBES, &of_this_qemu)?;
        let text = serde_json::to_string(&probe(qemu, dir)?)
            .context(Kind::Lab, || "cannot write the probe's answer")?;
        files::write(&dir.join("probe.json"), text)
    })?;
    let text = files::read(&lease.join("probe.json"))?;
    serde_json::from_str(&text).context(Kind::Lab, || "the remembered probe of KVM cannot be read")
}

fn probe(qemu: &Qemu, dir: &Path) -> Result<Probe> {
    let image = dir.join("boot.img");
    files::write(&image, floppy())?;
    let result = qemu
        .command()
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
            "-m",
            "32",
            "-machine",
            "pc",
        ])
        .args(Engine::Kvm.qemu_args())
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
        .args(["-drive", &format!("file={},format=raw,if=floppy,readonly=on", image.display())])
        .deadline(DEADLINE)
        .output();
    match result {
        Ok(output) if output.status.code() == Some(ALIVE) => Ok(Probe::Works),
        Ok(output) => {
            Ok(Probe::Fails(format!("a guest under KVM did not run ({})", last_line(&output.stderr))))
        }
        Err(e) if e.kind() == Kind::Timeout => Ok(Probe::Fails(format!(
            "a guest under KVM did not get into protected mode and take a breakpoint within {} s",
            DEADLINE.as_secs()
        ))),
        Err(e) => Err(e),
    }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("QEMU said nothing").trim().to_owned()
}

/// Where the firmware puts a boot sector.
const SECTOR_AT: u16 = 0x7c00;
/// Where in the sector its parts are: code for 16 and for 32 bits, the handler of breakpoints, and the tables with what
/// tells the processor of them.
const PROTECTED: u16 = 0x20;
const HANDLER: u16 = 0x38;
const GDT: u16 = 0x40;
const GDTR: u16 = 0x58;
const IDT: u16 = 0x60;
const IDTR: u16 = 0x80;

/// A sector that does what the module's paragraph tells of.
fn boot_sector() -> [u8; 512] {
    let address = |offset: u16| (SECTOR_AT + offset).to_le_bytes();
    let [gdtr, idtr, protected, handler] = [GDTR, IDTR, PROTECTED, HANDLER].map(address);
    let table = |offset: u16, limit: u8| [limit, 0, address(offset)[0], address(offset)[1], 0, 0];
    let mut sector = [0; 512];
    let mut put = |offset: u16, bytes: &[u8]| {
        let offset = usize::from(offset);
        sector[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    let real_mode = [
        &[0xfa][..],                                       // cli
        &[0x31, 0xc0, 0x8e, 0xd8],                         // xor ax, ax; mov ds, ax
        &[0x0f, 0x01, 0x16, gdtr[0], gdtr[1]],             // lgdt [gdtr]
        &[0x0f, 0x01, 0x1e, idtr[0], idtr[1]],             // lidt [idtr]
        &[0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0], // mov eax, cr0; or al, 1; mov cr0, eax
        &[0xea, protected[0], protected[1], 0x08, 0x00],   // jmp 0x08:protected
    ];
    put(0, &real_mode.concat());
    let protected_mode = [
        &[0x66, 0xb8, 0x10, 0x00, 0x8e, 0xd8, 0x8e, 0xd0][..], // mov ax, 0x10; mov ds, ax; mov ss, ax
        &[0xbc, 0x00, 0x7c, 0x00, 0x00],                       // mov esp, 0x7c00
        &[0xcc],                                               // int3
        &[0xf4, 0xeb, 0xfd],                                   // hlt, for ever
    ];
    put(PROTECTED, &protected_mode.concat());
    // mov al, 0x2a; out 0xf4, al; hlt, for ever
    put(HANDLER, &[0xb0, 0x2a, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd]);
    // After the null descriptor: code and data, 32 bits, all of memory.
    put(GDT + 8, &[0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0]);
    put(GDT + 16, &[0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0]);
    put(GDTR, &table(GDT, 3 * 8 - 1));
    // Vector 3: an interrupt gate to the handler.
    put(IDT + 3 * 8, &[handler[0], handler[1], 0x08, 0, 0, 0x8e, 0, 0]);
    put(IDTR, &table(IDT, 4 * 8 - 1));
    put(510, &[0x55, 0xaa]);
    sector
}

/// A floppy that begins with it.
fn floppy() -> Vec<u8> {
    let mut image = vec![0; 1440 << 10];
    image[..512].copy_from_slice(&boot_sector());
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Command;

    #[test]
    fn the_boot_sector_has_the_firmwares_signature() {
        let image = floppy();
        assert_eq!((image.len(), &image[510..512]), (1_474_560, &[0x55, 0xaa][..]));
    }

    #[test]
    fn emulation_is_given_more_time() {
        let second = Duration::from_secs(1);
        assert!(Engine::Tcg.scale(second) > Engine::Kvm.scale(second));
    }

    #[test]
    fn the_boot_sector_ends_qemu_under_emulation() {
        let Some(qemu) = crate::process::find_program("qemu-system-x86_64") else {
            eprintln!("skipped: no system QEMU");
            return;
        };
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("boot.img");
        std::fs::write(&image, floppy()).unwrap();
        let output = Command::new(qemu)
            .args(["-nodefaults", "-display", "none", "-no-reboot", "-m", "32", "-machine", "pc"])
            .args(Engine::Tcg.qemu_args())
            .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=4"])
            .args(["-drive", &format!("file={},format=raw,if=floppy,readonly=on", image.display())])
            .deadline(Duration::from_secs(30))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(ALIVE), "{output:?}");
    }
}

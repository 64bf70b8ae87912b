// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine: what it is made of, and booting it into a [`Guest`].
//!
//! ```no_run
//! use blockyard_lab::{Disk, Kernel, KernelSpec, Machine};
//!
//! let kernel = Kernel::ensure(&KernelSpec::default())?;
//! let guest = Machine::builder().kernel(&kernel).disk(Disk::size(64 << 20)).boot()?;
//! assert_eq!(guest.check("lsblk --nodeps --noheadings -o SIZE /dev/vda")?.trim(), "64M");
//! guest.finish()?;
//! # Ok::<(), blockyard_lab::Error>(())
//! ```

mod disk;
mod initrd;
mod slots;

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use blockyard_proto::{BootConfig, NetConfig};

pub use self::disk::Disk;
pub(crate) use self::slots::Slots;
use crate::accel::{self, Accel, Engine};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::guest::vitals::{QEMU_LOG, Vitals};
use crate::guest::{Guest, Parts, Session};
use crate::kernel::{Kernel, Profile};
use crate::klog::Allow;
use crate::modules::Module;
use crate::qemu::{Launch, Network, Qemu, QemuChoice, names};
use crate::registry::{Claim, Info, Registry};
use crate::vhost_user::{Backend, Backends, Device, Plan, Reach};
use crate::{programs, rootfs};

/// How long a boot may take under KVM; it takes about 0.5 s.
const BOOT: Duration = Duration::from_secs(20);
/// How much longer everything takes in a kernel with all checks.
const CHECKED_FACTOR: u32 = 4;
/// Processors of a machine unless said otherwise.
const CPUS: u32 = 2;

/// Makes [`MachineBuilder`]s.
#[derive(Debug)]
pub struct Machine;

impl Machine {
    /// A machine with 1 GiB of memory, two processors if the accelerator takes them, no disks but its root, and no network.
    pub fn builder() -> MachineBuilder {
        MachineBuilder {
            kernel: None,
            modules: Vec::new(),
            built: Vec::new(),
            disks: Vec::new(),
            devices: Vec::new(),
            expected: Vec::new(),
            mem_mib: 1024,
            cpus: None,
            accel: Accel::default(),
            qemu: QemuChoice::default(),
            network: None,
            append: Vec::new(),
            name: None,
            allowed: Vec::new(),
            boot_timeout: None,
        }
    }
}

/// What a machine will be made of.
#[derive(Debug, Clone)]
#[must_use = "a machine does nothing until it boots"]
pub struct MachineBuilder {
    kernel: Option<Image>,
    modules: Vec<PathBuf>,
    /// Whose files exist only as long as they do.
    built: Vec<Module>,
    disks: Vec<Disk>,
    devices: Vec<Device>,
    /// Devices that may be plugged in later.
    expected: Vec<Device>,
    mem_mib: u32,
    cpus: Option<u32>,
    accel: Accel,
    qemu: QemuChoice,
    network: Option<Network>,
    append: Vec<String>,
    name: Option<String>,
    allowed: Vec<Allow>,
    boot_timeout: Option<Duration>,
}

/// What a machine needs to know of its kernel.
#[derive(Debug, Clone)]
struct Image {
    file: PathBuf,
    release: String,
    modules: PathBuf,
    /// Whether it checks itself, and so is slow.
    checked: bool,
}

impl MachineBuilder {
    /// The kernel to boot, with its own modules.
    pub fn kernel(mut self, kernel: &Kernel) -> Self {
        self.kernel = Some(Image {
            file: kernel.image(),
            release: kernel.release().to_owned(),
            modules: kernel.modules_dir(),
            checked: kernel.profile() != Profile::Base,
        });
        self
    }

    /// A kernel that the lab did not build: its image (bzImage, or a vmlinux with PVH), its release (as `uname -r` tells
    /// it), and a folder that holds `lib/modules/RELEASE`. It must have what a guest needs built in: virtio, ext4, overlayfs, devtmpfs.
    pub fn kernel_image(
        mut self,
        file: impl Into<PathBuf>,
        release: impl Into<String>,
        modules: impl Into<PathBuf>,
    ) -> Self {
        let (file, release, modules) = (file.into(), release.into(), modules.into());
        self.kernel = Some(Image { file, release, modules, checked: false });
        self
    }

    /// Puts a module's file under `/lib/modules` in the guest; depmod knows it, nothing loads it.
    pub fn module(mut self, file: impl Into<PathBuf>) -> Self {
        self.modules.push(file.into());
        self
    }

    /// As [`module`](Self::module), for one that the lab has built.
    pub fn driver(mut self, module: &Module) -> Self {
        self.built.push(module.clone());
        self.module(module.path())
    }

    /// Adds a disk: the first one is `/dev/vda`.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// Adds a virtio device that a program of its own serves. A disk among them comes after those of [`disk`](Self::disk).
    pub fn device(mut self, device: Device) -> Self {
        self.devices.push(device);
        self
    }

    /// Prepares for a device such as this one to be plugged in while the guest runs, by
    /// [`Guest::attach_device`]: its program must see the guest's memory, and QEMU must know such a device. A machine
    /// that boots with a device is prepared for others of its type.
    pub fn expect_device(mut self, device: Device) -> Self {
        self.expected.push(device);
        self
    }

    /// Memory in MiB.
    pub fn mem_mib(mut self, mib: u32) -> Self {
        self.mem_mib = mib;
        self
    }

    /// Processors; by default two, or one where the accelerator takes no more.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// How the processor is run.
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = accel;
        self
    }

    /// Which QEMU runs it.
    pub fn qemu(mut self, qemu: QemuChoice) -> Self {
        self.qemu = qemu;
        self
    }

    /// Gives the guest QEMU's user network: it reaches out, nothing reaches in.
    pub fn net(mut self) -> Self {
        self.network.get_or_insert_default();
        self
    }

    /// As [`net`](Self::net), and forwards a TCP port of 127.0.0.1 to one in the guest.
    pub fn forward(mut self, host: u16, guest: u16) -> Self {
        self.network.get_or_insert_default().forwards.push((host, guest));
        self
    }

    /// Adds words to the kernel's command line.
    pub fn append(mut self, words: impl Into<String>) -> Self {
        self.append.push(words.into());
        self
    }

    /// A name for `ps`, `exec --guest` and `stop`; else the first free `yardN`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Expects a complaint in the kernel log that would fail [`Guest::finish`]: a rule's name or a pattern.
    pub fn allow_log(mut self, pattern: Allow) -> Self {
        self.allowed.push(pattern);
        self
    }

    /// How long the boot may take, on the wall; by default 20 s under KVM and more under emulation.
    pub fn boot_timeout(mut self, limit: Duration) -> Self {
        self.boot_timeout = Some(limit);
        self
    }

    /// Builds and fetches what is missing to boot, which [`boot`](Self::boot) would do otherwise: for who measures that, or has
    /// something to say first.
    pub fn prepare(&self) -> Result<()> {
        rootfs::ensure()?;
        programs::ensure()?;
        let (plans, expected) = (plans(&self.devices)?, plans(&self.expected)?);
        self.qemu_for(plans.iter().chain(&expected)).map(drop)
    }

    /// Starts QEMU and waits until the agent answers.
    ///
    /// # Errors
    /// [`Kind::Boot`] with the console's end if the machine ends or stays silent before that; [`Kind::Usage`] for a
    /// machine that makes no sense.
    pub fn boot(self) -> Result<Guest> {
        let image = self.kernel.clone().ok_or_else(|| Error::new(Kind::Usage, "a machine needs a kernel"))?;
        let started = Instant::now();
        let root = rootfs::ensure()?;
        let programs = programs::ensure()?;
        let (plans, expected) = (plans(&self.devices)?, plans(&self.expected)?);
        let (qemu, engine) = self.qemu_for(plans.iter().chain(&expected))?;
        let cpus = self.cpus_under(engine)?;
        let claim = Registry::open()?.claim(self.name.as_deref())?;
        let initramfs = claim.dir().join("initramfs");
        let config = self.boot_config(claim.name());
        initrd::write(&initramfs, &config, &programs, &image.modules, &image.release, &self.modules)?;
        let mut slots = Slots::new();
        let room = Cache::open()?;
        self.disks.iter().try_for_each(|disk| slots.place(disk, room.root()).map(drop))?;
        let reach = Reach::new(&qemu, plans.iter().chain(&expected))?;
        let backends = start_backends(plans, &mut slots, &reach, &claim)?;
        slots.boot();
        let launch = Launch {
            engine,
            kernel: &image.file,
            initramfs: &initramfs,
            append: &self.append,
            mem_mib: self.mem_mib,
            cpus,
            root: root.image(),
            drives: slots.drives(),
            frontends: slots.frontends(),
            shared_memory: reach.memory(),
            ports: slots.ports(),
            network: self.network.as_ref(),
            runtime: claim.dir(),
        };
        tracing::debug!("laid out after {:?}", started.elapsed());
        let vitals = start(&qemu, &launch, &backends)?;
        let pid = vitals.qemu_pid();
        let deadline = Instant::now() + self.boot_limit(engine, image.checked);
        let session = Session::open(&claim.dir().join(names::OWNER), engine, vitals, deadline)?;
        session.vitals().has_booted();
        tracing::info!("{} answers after {:?}", claim.name(), started.elapsed());
        claim.publish(&info(&claim, &image, &launch, pid))?;
        let allowed = self.allowed;
        let checked_kernel = image.checked;
        Guest::new(Parts { session, slots, reach, backends, allowed, checked_kernel, claim, rootfs: root })
    }

    fn boot_limit(&self, engine: Engine, checked: bool) -> Duration {
        let usual = engine.scale(BOOT) * if checked { CHECKED_FACTOR } else { 1 };
        self.boot_timeout.unwrap_or(usual)
    }

    fn boot_config(&self, name: &str) -> BootConfig {
        // QEMU's user network is always this one.
        let net = self.network.as_ref().map(|_| NetConfig {
            address: "10.0.2.15/24".into(),
            gateway: "10.0.2.2".into(),
            dns: "10.0.2.3".into(),
        });
        BootConfig { hostname: name.to_owned(), net }
    }

    /// The QEMU for a machine that has, or expects, what these plans are for; and what it runs the processor by.
    fn qemu_for<'a>(&self, mut plans: impl Iterator<Item = &'a Plan>) -> Result<(Qemu, Engine)> {
        let newest = self.qemu == QemuChoice::Newest || plans.any(|plan| plan.shape.is_generic());
        let qemu = if newest { Qemu::with_generic_device()? } else { Qemu::system()? };
        let engine = accel::choose(self.accel, &qemu)?;
        if !newest
            && (self.qemu, engine) == (QemuChoice::Auto, Engine::Tcg)
            && let Some(faster) = Qemu::at_hand()?
        {
            return Ok((faster, engine));
        }
        Ok((qemu, engine))
    }

    fn cpus_under(&self, engine: Engine) -> Result<u32> {
        let most = engine.max_cpus();
        match self.cpus {
            Some(cpus) if cpus > most => {
                let message = format!("a machine under {engine} has one processor, and not {cpus}");
                Err(Error::new(Kind::Usage, message))
            }
            asked => Ok(asked.unwrap_or(CPUS.min(most))),
        }
    }
}

fn info(claim: &Claim, image: &Image, launch: &Launch<'_>, qemu_pid: u32) -> Info {
    Info {
        name: claim.name().to_owned(),
        owner_pid: std::process::id(),
        qemu_pid,
        kernel: image.release.clone(),
        accel: launch.engine,
        mem_mib: launch.mem_mib,
        cpus: launch.cpus,
        disks: launch.drives.iter().map(|drive| drive.serial.clone()).collect(),
        devices: launch.frontends.iter().map(|frontend| frontend.name.clone()).collect(),
        since: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
    }
}

fn plans(devices: &[Device]) -> Result<Vec<Plan>> {
    devices.iter().map(Device::plan).collect()
}

/// Starts the programs of these devices and gives each a port.
fn start_backends(
    plans: Vec<Plan>,
    slots: &mut Slots,
    reach: &Reach,
    claim: &Claim,
) -> Result<Arc<Backends>> {
    let backends = Arc::new(Backends::default());
    for plan in plans {
        let shape = plan.shape.clone();
        let name = slots.name_for(plan.name.as_deref(), &shape.kind)?;
        let backend = Backend::start(&name, plan, claim.dir())?;
        slots.place_device(&name, &shape, backend.socket(), reach.reconnect(&shape)?)?;
        backends.add(backend);
    }
    Ok(backends)
}

fn start(qemu: &Qemu, launch: &Launch<'_>, backends: &Arc<Backends>) -> Result<Vitals> {
    let log_path = launch.runtime.join(QEMU_LOG);
    let log = File::create(&log_path).context(Kind::Lab, || format!("cannot make {}", log_path.display()))?;
    let mut command = qemu.command().args(launch.args()).grace(Duration::ZERO);
    tracing::debug!("{}", command.line());
    let child = command.spawn_with(Stdio::null(), log.into())?;
    Ok(Vitals::of_child(launch.runtime, child, backends.clone()))
}

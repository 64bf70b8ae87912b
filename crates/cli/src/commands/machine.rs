// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the machine's flags to a machine that is ready to boot: kernel and drivers built, disks and network as asked.

use std::path::Path;

use blockyard_lab::{
    Accel, Device, Disk, Error, Kernel, KernelSpec, Kind, Machine, MachineBuilder, Profile, QemuChoice,
    Result, modules,
};

use super::device;
use crate::args;

/// The kernel that the flags name.
pub fn spec(choice: &args::KernelChoice) -> KernelSpec {
    KernelSpec {
        profile: profile(choice.profile),
        series: choice.series.clone(),
        source: choice.source.clone(),
        fragments: choice.fragments.clone(),
        builtin: choice.builtin.clone(),
    }
}

/// The profile that the flag names.
pub fn profile(choice: args::Profile) -> Profile {
    match choice {
        args::Profile::Base => Profile::Base,
        args::Profile::Debug => Profile::Debug,
        args::Profile::Kcsan => Profile::Kcsan,
    }
}

/// The accelerator that the flag names.
pub fn accel(choice: args::Accel) -> Accel {
    match choice {
        args::Accel::Auto => Accel::Auto,
        args::Accel::Kvm => Accel::Kvm,
        args::Accel::Tcg => Accel::Tcg,
        args::Accel::Icount => Accel::Icount,
    }
}

/// The QEMU that the flag names.
fn qemu(choice: args::Qemu) -> QemuChoice {
    match choice {
        args::Qemu::Auto => QemuChoice::Auto,
        args::Qemu::System => QemuChoice::System,
        args::Qemu::Newest => QemuChoice::Newest,
    }
}

/// Builds what is missing and lays the machine out.
pub fn prepare(choice: &args::MachineChoice) -> Result<MachineBuilder> {
    let mut machine = Machine::builder().accel(accel(choice.accel)).mem_mib(mebibytes(&choice.mem)?);
    machine = machine.qemu(qemu(choice.qemu));
    if let Some(cpus) = choice.cpus {
        machine = machine.cpus(cpus);
    }
    for (index, text) in choice.disks.iter().enumerate() {
        machine = machine.disk(disk(text)?.serial(format!("disk{index}")));
    }
    for text in &choice.devices {
        machine = machine.device(Device::new(device::parse(text)?.to_string()));
    }
    for text in &choice.net {
        machine = network(machine, text)?;
    }
    for words in &choice.append {
        machine = machine.append(words);
    }
    for module in &choice.modules {
        machine = machine.module(existing(module)?);
    }
    let kernel = Kernel::ensure(&spec(&choice.kernel))?;
    let drivers = modules::Build::new(&kernel).run()?;
    machine = drivers.iter().fold(machine, |machine, driver| machine.driver(driver));
    Ok(machine.kernel(&kernel))
}

fn existing(path: &Path) -> Result<&Path> {
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::new(Kind::Usage, format!("{} is no file", path.display())))
}

/// A size makes an empty disk, anything else names an image file.
fn disk(text: &str) -> Result<Disk> {
    if text.starts_with(|c: char| c.is_ascii_digit()) && !Path::new(text).exists() {
        return Ok(Disk::size(size(text)?));
    }
    Ok(Disk::file(existing(Path::new(text))?))
}

/// `""`: a network; `80`: also a forward from 127.0.0.1:80; `8080:80`: from 127.0.0.1:8080.
fn network(machine: MachineBuilder, text: &str) -> Result<MachineBuilder> {
    if text.is_empty() {
        return Ok(machine.net());
    }
    let port = |text: &str| {
        text.parse::<u16>().ok().filter(|port| *port != 0).ok_or_else(|| {
            Error::new(Kind::Usage, format!("{text:?} is no TCP port"))
                .with_help("write --net, --net 8080 or --net 8080:80")
        })
    };
    let (host, guest) = text.split_once(':').unwrap_or((text, text));
    Ok(machine.forward(port(host)?, port(guest)?))
}

/// Memory in MiB from `1024`, `512M` or `2G`.
fn mebibytes(text: &str) -> Result<u32> {
    let mib =
        if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { Some(size(text)? >> 20) };
    mib.filter(|mib| (128..=1 << 20).contains(mib)).and_then(|mib: u64| u32::try_from(mib).ok()).ok_or_else(
        || {
            Error::new(Kind::Usage, format!("{text} of memory is out of range"))
                .with_help("give 128M to 1024G")
        },
    )
}

/// Bytes from a number with an optional binary suffix K, M, G or T.
pub fn size(text: &str) -> Result<u64> {
    let wrong = |why: &str| {
        Error::new(Kind::Usage, format!("{text:?} is no size: {why}"))
            .with_help("write a number with K, M, G or T: 64M")
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong("no whole number"))?;
    let shift = match text[digits.len()..].to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong("an unknown suffix")),
    };
    let bytes = number.checked_mul(1 << shift).ok_or_else(|| wrong("too large"))?;
    if bytes == 0 { Err(wrong("it must be above 0")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_take_binary_suffixes() {
        assert_eq!(size("512").unwrap(), 512);
        assert_eq!(size("64M").unwrap(), 64 << 20);
        assert_eq!(size("1GiB").unwrap(), 1 << 30);
    }

    #[test]
    fn sizes_that_make_no_sense_are_wrong_use() {
        for bad in ["", "0", "M", "12Q", "-1", "99999999999T", "1.5G"] {
            assert_eq!(size(bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
    }

    #[test]
    fn memory_is_in_mebibytes_or_has_a_suffix() {
        assert_eq!(mebibytes("512").unwrap(), 512);
        assert_eq!(mebibytes("2G").unwrap(), 2048);
        for bad in ["0", "1M", "9999999999", "lots"] {
            assert_eq!(mebibytes(bad).unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
    }
}

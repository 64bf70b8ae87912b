// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rust-project.json` for rust-analyzer.
//!
//! The kernel's own generator describes its crates, and of an external module only those that its Makefile names in
//! their own folder; it knows no crate that several modules share. So the kernel's part is taken from it, and ours is
//! added: abi, the generated bindings, kit, drivers, each with what it is compiled against.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::format::crate_root;
use super::{Build, checks, drivers_in, make};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::process::find_program;
use crate::toolchain::Toolchain;
use crate::version::Version;
use crate::{files, workspace};

/// The crates of the kernel that a module's crate is compiled with.
const KERNEL_CRATES: [&str; 10] = [
    "compiler_builtins",
    "macros",
    "build_error",
    "pin_init",
    "ffi",
    "bindings",
    "uapi",
    "kernel",
    "zerocopy",
    "zerocopy_derive",
];
/// Our crates that others use.
const ABI: &str = "blockyard_abi";
const BINDINGS: &str = "kit_bindings";
const KIT: &str = "kit";
/// Versions from which on the kit has a `cfg` of its own, as in the Kbuild file.
const KIT_VERSIONS: [Version; 1] = [Version::new(7, 3, 0)];
/// Crates that the generator lists and rust-analyzer brings itself.
const SYSROOT_CRATES: [&str; 4] = ["core", "alloc", "std", "proc_macro"];

/// Writes `kernel/rust-project.json` for the kernel in `kdir`, and returns its path.
pub fn write_project(kdir: &Path) -> Result<PathBuf> {
    if find_program("python3").is_none() {
        return Err(Error::new(Kind::Need, "the kernel's generator of project files needs python3")
            .with_help("apt-get install python3-minimal"));
    }
    let source = workspace::kernel_side()?;
    let toolchain = Toolchain::ensure(&Cache::open()?)?;
    let config = checks::check(kdir, &toolchain)?;
    make(&toolchain, kdir, config.clang)?.arg("rust-analyzer").run()?;
    let generated = kdir.join("rust-project.json");
    let mut project: Value = serde_json::from_str(&files::read(&generated)?)
        .context(Kind::Lab, || format!("the kernel's generator wrote no JSON to {}", generated.display()))?;
    project["sysroot_src"] = json!(toolchain.rust_src());
    let ours = Ours {
        source: &source,
        bindings: Build::for_kdir(kdir).bindings()?,
        kernel: Version::find(&files::read(&kdir.join("include/config/kernel.release"))?),
    };
    ours.complete(&mut project)?;
    let target = source.join("rust-project.json");
    let text = serde_json::to_string_pretty(&project).context(Kind::Lab, || "cannot write JSON")?;
    files::write(&target, text)?;
    Ok(target)
}

/// What our crates are made from.
struct Ours<'a> {
    /// The folder of the kernel side.
    source: &'a Path,
    /// The source of the crate `kit_bindings`.
    bindings: PathBuf,
    /// The kernel's version.
    kernel: Option<Version>,
}

impl Ours<'_> {
    /// Adds our crates to the kernel's.
    fn complete(&self, project: &mut Value) -> Result<()> {
        let crates = project.get_mut("crates").and_then(Value::as_array_mut);
        let crates =
            crates.ok_or_else(|| Error::new(Kind::Lab, "the kernel's project file lists no crates"))?;
        // Up to `kernel`, each crate is one that ours stand on; behind it come the kernel's own drivers and samples.
        let last = index_of(crates, "kernel").map_or(crates.len(), |i| i + 1);
        crates.truncate(last);
        without_sysroot(crates);
        for one in crates.iter_mut() {
            // Read, not checked: an editor's list of errors is about the code that is worked on.
            one["is_workspace_member"] = json!(false);
        }
        // What the kernel's configuration switches on is the same for our crates.
        let cfg = index_of(crates, "kernel").and_then(|i| crates[i].get("cfg").cloned());
        let cfg = cfg.unwrap_or_else(|| json!([]));
        for (name, root) in self.crates()? {
            let deps = KERNEL_CRATES.iter().chain(uses(&name)).map(|used| dependency(crates, used));
            let own = json!({
                "display_name": name,
                "root_module": root,
                "edition": "2021",
                "is_workspace_member": name != BINDINGS,
                "deps": deps.collect::<Result<Vec<_>>>()?,
                "cfg": self.cfg_of(&cfg, &name),
                "env": { "RUST_MODFILE": "This is only for rust-analyzer" },
            });
            crates.push(own);
        }
        Ok(())
    }

    /// Name and root of each of our crates, a crate after those that it uses.
    fn crates(&self) -> Result<Vec<(String, PathBuf)>> {
        let mut all = Vec::new();
        all.extend(crate_root(self.source, &["abi", "lib.rs"]).map(|root| (ABI.to_owned(), root)));
        all.push((BINDINGS.to_owned(), self.bindings.clone()));
        all.extend(crate_root(self.source, &["kit", "kit.rs"]).map(|root| (KIT.to_owned(), root)));
        for name in drivers_in(self.source)? {
            let root = self.source.join("drivers").join(&name).join(format!("{name}.rs"));
            all.push((name, root));
        }
        Ok(all)
    }

    /// A module's crates are compiled with `--cfg MODULE`, and the kit knows the kernel's version.
    fn cfg_of(&self, kernel: &Value, name: &str) -> Value {
        let mut cfg = kernel.as_array().cloned().unwrap_or_default();
        if name != ABI {
            cfg.push(json!("MODULE"));
        }
        if name == KIT {
            let reached = KIT_VERSIONS.iter().filter(|v| self.kernel.is_some_and(|kernel| kernel >= **v));
            cfg.extend(reached.map(|v| json!(format!("kernel_{}_{}", v.major, v.minor))));
        }
        Value::Array(cfg)
    }
}

/// Which of our crates this one of ours uses.
fn uses(name: &str) -> &'static [&'static str] {
    match name {
        ABI | BINDINGS => &[],
        KIT => &[ABI, BINDINGS],
        _ => &[ABI, KIT],
    }
}

fn dependency(crates: &[Value], name: &str) -> Result<Value> {
    let missing = || Error::new(Kind::Lab, format!("the kernel's project file has no crate `{name}`"));
    Ok(json!({ "crate": index_of(crates, name).ok_or_else(missing)?, "name": name }))
}

/// Takes the sysroot's crates out. rust-analyzer knows the methods of `u64` and `str` only from a `core` that it has
/// found itself, below `sysroot_src`; with the generator's it calls half of our code wrong.
fn without_sysroot(crates: &mut Vec<Value>) {
    let name = |c: &Value| c.get("display_name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let kept: Vec<bool> = crates.iter().map(|c| !SYSROOT_CRATES.contains(&name(c).as_str())).collect();
    // A crate's number is its place in the list, so the numbers of those behind change.
    let place = |old: usize| kept[..old].iter().filter(|k| **k).count();
    let old = std::mem::take(crates);
    for mut one in old.into_iter().zip(&kept).filter_map(|(c, kept)| kept.then_some(c)) {
        let deps = one.get("deps").and_then(Value::as_array).cloned().unwrap_or_default();
        let number = |d: &Value| d.get("crate").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let deps = deps.iter().filter_map(|d| Some((number(d)?, d.get("name")?)));
        let deps = deps.filter(|(n, _)| kept.get(*n) == Some(&true));
        one["deps"] = deps.map(|(n, name)| json!({ "crate": place(n), "name": name })).collect();
        crates.push(one);
    }
}

fn index_of(crates: &[Value], name: &str) -> Option<usize> {
    crates.iter().position(|c| c.get("display_name").and_then(Value::as_str) == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the generator makes it: each crate depends on the one before it.
    fn kernel_project() -> Value {
        // `kernel` comes last, as there.
        let mut names: Vec<_> =
            SYSROOT_CRATES.iter().chain(&KERNEL_CRATES).filter(|n| **n != "kernel").collect();
        names.push(&"kernel");
        let deps = |i: usize| match i {
            0 => json!([]),
            i => json!([{ "crate": i - 1, "name": names[i - 1] }]),
        };
        let crate_of = |(i, n)| json!({ "display_name": n, "cfg": ["CONFIG_RUST"], "deps": deps(i) });
        let mut crates: Vec<Value> = names.iter().enumerate().map(crate_of).collect();
        crates.push(json!({ "display_name": "a_sample", "cfg": [], "deps": [] }));
        json!({ "crates": crates, "sysroot": "/s" })
    }

    fn ours<'a>(source: &'a Path, kernel: &str) -> Ours<'a> {
        Ours { source, bindings: "/out/kit_bindings.rs".into(), kernel: Version::find(kernel) }
    }

    #[test]
    fn our_crates_come_after_the_kernels_and_know_each_other() {
        let mut project = kernel_project();
        ours(&workspace::kernel_side().unwrap(), "7.3.4").complete(&mut project).unwrap();
        let crates = project["crates"].as_array().unwrap();
        let find = |name: &str| &crates[index_of(crates, name).unwrap()];
        let deps = |name: &str| {
            find(name)["deps"]
                .as_array()
                .unwrap()
                .iter()
                .map(|d| d["name"].as_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert!(deps("simblk").contains(&"kit") && deps("simblk").contains(&"blockyard_abi"));
        assert!(deps("kit").contains(&"blockyard_abi") && !deps("kit").contains(&"kit"));
        assert!(deps("kit").contains(&"kit_bindings") && !deps("simblk").contains(&"kit_bindings"));
        assert_eq!(find("kit_bindings")["root_module"], "/out/kit_bindings.rs");
        assert!(find("simblk")["cfg"].as_array().unwrap().contains(&json!("CONFIG_RUST")));
        assert!(
            SYSROOT_CRATES.iter().all(|n| index_of(crates, n).is_none())
                && index_of(crates, "a_sample").is_none()
        );
        for one in crates {
            for dep in one["deps"].as_array().unwrap() {
                let index = usize::try_from(dep["crate"].as_u64().unwrap()).unwrap();
                assert_eq!(crates[index]["display_name"], dep["name"], "a dependency's number is its place");
            }
        }
    }

    #[test]
    fn a_project_without_the_kernels_crates_is_refused() {
        let mut project = json!({ "crates": [] });
        assert!(ours(Path::new("/"), "7.3.4").complete(&mut project).is_err());
    }

    #[test]
    fn the_kit_alone_is_told_of_the_kernels_version() {
        let cfg = |name, kernel| ours(Path::new("/"), kernel).cfg_of(&json!(["CONFIG_RUST"]), name);
        assert_eq!(cfg("kit", "7.4.0-rc1"), json!(["CONFIG_RUST", "MODULE", "kernel_7_3"]));
        assert_eq!(cfg("kit", "7.2.12"), json!(["CONFIG_RUST", "MODULE"]));
        assert_eq!(cfg("simblk", "7.3.4"), json!(["CONFIG_RUST", "MODULE"]));
    }

    #[test]
    fn the_versions_are_those_of_the_kbuild_file() {
        let kbuild = files::read(&workspace::kernel_side().unwrap().join("Kbuild")).unwrap();
        let listed = KIT_VERSIONS.map(|v| format!("{}.{}", v.major, v.minor)).join(" ");
        assert!(kbuild.contains(&format!("$(foreach version,{listed},")), "{listed}");
    }
}

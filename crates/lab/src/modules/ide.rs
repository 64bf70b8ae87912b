// SPDX-License-Identifier: MIT OR Apache-2.0
//! `rust-project.json` for rust-analyzer.
//!
//! The kernel's own generator describes its crates, and of an external module only those that its Makefile names in
//! their own folder; it knows no crate that several modules share. So the kernel's part is taken from it, and ours is
//! added: abi, kit, drivers, each with what it is compiled against.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::format::crate_root;
use super::{checks, drivers_in, make};
use crate::cache::Cache;
use crate::error::{Context, Error, Kind, Result};
use crate::process::find_program;
use crate::toolchain::Toolchain;
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
    complete(&mut project, &source)?;
    let target = source.join("rust-project.json");
    let text = serde_json::to_string_pretty(&project).context(Kind::Lab, || "cannot write JSON")?;
    files::write(&target, text)?;
    Ok(target)
}

/// Adds our crates to the kernel's.
fn complete(project: &mut Value, source: &Path) -> Result<()> {
    let crates = project.get_mut("crates").and_then(Value::as_array_mut);
    let crates = crates.ok_or_else(|| Error::new(Kind::Lab, "the kernel's project file lists no crates"))?;
    // Up to `kernel`, each crate is one that ours stand on; behind it come the kernel's own drivers and samples.
    let last = index_of(crates, "kernel").map_or(crates.len(), |i| i + 1);
    crates.truncate(last);
    without_sysroot(crates);
    for one in crates.iter_mut() {
        // Read, not checked: an editor's list of errors is about the code that is worked on.
        one["is_workspace_member"] = json!(false);
    }
    let mut deps = Vec::new();
    for name in KERNEL_CRATES {
        let index = index_of(crates, name).ok_or_else(|| {
            Error::new(Kind::Lab, format!("the kernel's project file has no crate `{name}`"))
        })?;
        deps.push(json!({ "crate": index, "name": name }));
    }
    // What the kernel's configuration switches on is the same for our crates.
    let cfg =
        index_of(crates, "kernel").and_then(|i| crates[i].get("cfg").cloned()).unwrap_or_else(|| json!([]));
    for (name, root) in our_crates(source)? {
        let own = json!({
            "display_name": name,
            "root_module": root,
            "edition": "2021",
            "is_workspace_member": true,
            "deps": deps,
            "cfg": cfg_of(&cfg, &name),
            "env": { "RUST_MODFILE": "This is only for rust-analyzer" },
        });
        // What follows may use it, as kbuild compiles them in this order.
        if ["blockyard_abi", "kit"].contains(&name.as_str()) {
            deps.push(json!({ "crate": crates.len(), "name": name }));
        }
        crates.push(own);
    }
    Ok(())
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

/// A module's crate is compiled with `--cfg MODULE`.
fn cfg_of(kernel: &Value, name: &str) -> Value {
    let mut cfg = kernel.as_array().cloned().unwrap_or_default();
    if name != "blockyard_abi" {
        cfg.push(json!("MODULE"));
    }
    Value::Array(cfg)
}

fn index_of(crates: &[Value], name: &str) -> Option<usize> {
    crates.iter().position(|c| c.get("display_name").and_then(Value::as_str) == Some(name))
}

/// Name and root of each of our crates, a crate after those that it uses.
fn our_crates(source: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut all = Vec::new();
    all.extend(crate_root(source, &["abi", "lib.rs"]).map(|root| ("blockyard_abi".to_owned(), root)));
    all.extend(crate_root(source, &["kit", "kit.rs"]).map(|root| ("kit".to_owned(), root)));
    for name in drivers_in(source)? {
        let root = source.join("drivers").join(&name).join(format!("{name}.rs"));
        all.push((name, root));
    }
    Ok(all)
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

    #[test]
    fn our_crates_come_after_the_kernels_and_know_each_other() {
        let mut project = kernel_project();
        complete(&mut project, &workspace::kernel_side().unwrap()).unwrap();
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
        assert!(complete(&mut project, Path::new("/")).is_err());
    }
}

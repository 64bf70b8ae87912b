// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an entry holds: every file and its size, under a checksum of the list itself.
//!
//! Sizes, not contents: an entry is looked at on every command, and a kernel's source has tens of
//! thousands of files. What really happens to a cache (a full disk, a crash, a clean-up tool) shows in
//! missing and shortened files.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::{Context, Error, Kind, Result};

/// One file: its path below the entry, and its size in bytes (of a link: the length of its target).
type Item = (Vec<u8>, u64);

const CHECKSUM: usize = 32;
/// Files for which a thread of its own is worth it.
const LEAST_PART: usize = 4096;

/// Writes the manifest of what is below `dir` to `path`, atomically.
pub(super) fn write(path: &Path, dir: &Path) -> Result<()> {
    let mut items = Vec::new();
    list(dir, dir, &mut items)?;
    items.sort();
    let list = postcard::to_stdvec(&items).context(Kind::Lab, || "cannot encode a manifest")?;
    let what = || format!("cannot write {}", path.display());
    let folder = path.parent().ok_or_else(|| Error::new(Kind::Lab, what()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder).context(Kind::Lab, what)?;
    file.write_all(blake3::hash(&list).as_bytes()).context(Kind::Lab, what)?;
    file.write_all(&list).context(Kind::Lab, what)?;
    file.as_file().sync_all().context(Kind::Lab, what)?;
    file.persist(path).map_err(|e| e.error).context(Kind::Lab, what)?;
    Ok(())
}

/// Whether the manifest is whole and all that it lists is below `dir` at full size; else what is wrong.
pub(super) fn verify(path: &Path, dir: &Path) -> std::result::Result<(), String> {
    let bytes = std::fs::read(path).map_err(|_| "it was never finished".to_owned())?;
    let (sum, list) = bytes.split_at_checked(CHECKSUM).ok_or("its manifest is cut short")?;
    if blake3::hash(list).as_bytes() != sum {
        return Err("its manifest is damaged".into());
    }
    let items: Vec<Item> =
        postcard::from_bytes(list).map_err(|e| format!("its manifest cannot be read: {e}"))?;
    verify_items(dir, &items)
}

/// By every processor: a kernel's source is most of what a command does before its guest boots.
fn verify_items(dir: &Path, items: &[Item]) -> std::result::Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = items.len().div_ceil(threads).max(LEAST_PART);
    std::thread::scope(|scope| {
        let check = |part: &'_ [Item]| part.iter().try_for_each(|item| verify_item(dir, item));
        let threads: Vec<_> =
            items.chunks(part).skip(1).map(|part| scope.spawn(move || check(part))).collect();
        let first = items.chunks(part).next().map_or(Ok(()), check);
        threads.into_iter().fold(first, |so_far, thread| {
            so_far.and(thread.join().unwrap_or_else(|_| Err("the check of its files panicked".into())))
        })
    })
}

fn verify_item(dir: &Path, (name, size): &Item) -> std::result::Result<(), String> {
    let path = dir.join(OsStr::from_bytes(name));
    match path.symlink_metadata() {
        Ok(meta) if meta.len() == *size => Ok(()),
        Ok(meta) => Err(format!("{} has {} bytes instead of {size}", path.display(), meta.len())),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

fn list(root: &Path, dir: &Path, items: &mut Vec<Item>) -> Result<()> {
    let what = || format!("cannot list {}", dir.display());
    for entry in std::fs::read_dir(dir).context(Kind::Lab, what)? {
        let entry = entry.context(Kind::Lab, what)?;
        let meta = entry.metadata().context(Kind::Lab, what)?;
        let path = entry.path();
        if meta.is_dir() {
            list(root, &path, items)?;
        } else if let Ok(name) = path.strip_prefix(root) {
            items.push((name.as_os_str().as_bytes().to_owned(), meta.len()));
        }
    }
    Ok(())
}

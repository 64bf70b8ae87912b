// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files in and out, of any size.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use blockyard_proto::{Channel, MAX_DATA, Outcome, Stream};

use crate::error::{Context, Error};

fn resolve(path: &[u8]) -> PathBuf {
    Path::new("/root").join(OsStr::from_bytes(path))
}

/// Sends a file.
pub fn read(stream: &Stream, path: &[u8]) -> Result<Outcome, Error> {
    let path = resolve(path);
    let what = || format!("cannot read {}", path.display());
    let mut file = File::open(&path).context(what)?;
    let meta = file.metadata().context(what)?;
    if meta.is_dir() {
        return Err(rustix::io::Errno::ISDIR).context(what);
    }
    let mut buffer = vec![0; MAX_DATA];
    loop {
        let n = file.read(&mut buffer).context(what)?;
        if n == 0 {
            return Ok(Outcome::File { mode: meta.mode() & 0o7777 });
        }
        stream.write(Channel::Out, &buffer[..n]).map_err(|e| Error::other(what(), e.to_string()))?;
    }
}

/// Receives a file. A regular one gets its name only when it is whole; a device, or a file of the kernel's, is
/// written in place.
pub fn write(stream: &Stream, path: &[u8], mode: u32) -> Result<Outcome, Error> {
    let mut path = resolve(path);
    let what = |path: &Path| format!("cannot write {}", path.display());
    if path.is_dir() {
        return Err(rustix::io::Errno::ISDIR).context(|| what(&path));
    }
    if let Ok(target) = path.canonicalize() {
        path = target;
    }
    let in_place = path.metadata().is_ok_and(|meta| !meta.is_file()) || is_of_the_kernel(&path);
    let result = if in_place {
        File::options().write(true).open(&path).and_then(|mut file| receive(stream, &mut file))
    } else {
        write_whole(stream, &path, mode)
    };
    result.map(|()| Outcome::Done).context(|| what(&path))
}

/// No file can be made beside those, and none renamed over them.
fn is_of_the_kernel(path: &Path) -> bool {
    path.starts_with("/proc") || path.starts_with("/sys")
}

fn write_whole(stream: &Stream, path: &Path, mode: u32) -> std::io::Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let half = Half(path.with_file_name(name));
    let mut file = File::create(&half.0)?;
    receive(stream, &mut file)?;
    file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    std::fs::rename(&half.0, path)
}

fn receive(stream: &Stream, file: &mut File) -> std::io::Result<()> {
    while let Some(bytes) = stream.read(Channel::In).map_err(std::io::Error::other)? {
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// A file that is not whole yet, removed unless it got its name.
struct Half(PathBuf);

impl Drop for Half {
    fn drop(&mut self) {
        // After the rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.0);
    }
}

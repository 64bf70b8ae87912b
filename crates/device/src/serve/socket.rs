// SPDX-License-Identifier: MIT OR Apache-2.0
//! A socket that a front end connects to, or a program of the host: nobody else's, and gone at the end.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use crate::error::{Error, Result};

/// Connections that may wait while one is served: QEMU connects again before the old connection has been seen to end.
const BACKLOG: i32 = 4;

/// A socket file that listens. Dropping it removes the file, if that is still ours.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    inode: (u64, u64),
}

impl Socket {
    /// Listens at `path`, for this user alone. A socket that nobody listens at any more is replaced.
    pub(crate) fn bind(path: &Path) -> Result<(Self, UnixListener)> {
        let refuse = |reason: String| Error::Socket { path: path.to_owned(), reason };
        let address = SocketAddrUnix::new(path).map_err(|_| {
            refuse(format!("the path has {} bytes, and a socket's has at most 107", path.as_os_str().len()))
        })?;
        remove_stale(path).map_err(refuse)?;
        let listener = listen_at(&address).map_err(|e| refuse(e.to_string()))?;
        let inode = fs::symlink_metadata(path).map_err(|e| refuse(e.to_string()))?;
        Ok((Self { path: path.to_owned(), inode: (inode.dev(), inode.ino()) }, listener))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove the socket {}", self.path.display());
        }
    }
}

/// What is at the path may go only if it is a socket that refuses.
fn remove_stale(path: &Path) -> Result<(), String> {
    let kind = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e.to_string()),
        Ok(metadata) => metadata.file_type(),
    };
    if !kind.is_socket() {
        return Err("something else is there already, which is not a socket".into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another process listens there already".into()),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|e| format!("a socket is left there, and cannot be removed: {e}"))
        }
        Err(e) => Err(e.to_string()),
    }
}

fn listen_at(address: &SocketAddrUnix) -> io::Result<UnixListener> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The file gets the mode that the socket has when it is bound: there is no moment at which others could connect.
    fchmod(socket.as_fd(), Mode::RUSR | Mode::WUSR)?;
    bind(&socket, address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_socket_is_this_users_alone_and_goes_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (socket, _listener) = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let (_socket, _listener) = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("another process listens"), "{error}");
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        let error = Socket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("not a socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[test]
    fn a_path_that_is_too_long_says_so() {
        let error = Socket::bind(Path::new(&"x".repeat(200))).unwrap_err().to_string();
        assert!(error.contains("200 bytes"), "{error}");
    }

    #[test]
    fn a_socket_that_took_our_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (socket, _listener) = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }
}

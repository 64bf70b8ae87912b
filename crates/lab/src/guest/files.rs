// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files into and out of the guest, streamed: none has to fit into memory.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use blockyard_proto::{Channel, Event, Outcome, Request, Stream};

use super::session::{Session, done};
use crate::error::{Context, Error, Kind, Result};

impl Session {
    /// The content of a file in the guest; a relative path starts at `/root`.
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.read_to(path, &mut content)?;
        Ok(content)
    }

    /// Makes or replaces a file in the guest, whole or not at all, with mode 0644.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        self.write_from(path, 0o644, &mut content.as_ref())
    }

    /// Copies a file of the host into the guest, permission bits included. A path that ends in `/` is a folder to
    /// put it in.
    pub fn push(&self, host: &Path, guest: &str) -> Result<()> {
        let what = || format!("cannot read {}", host.display());
        let mut file = File::open(host).context(Kind::NotFound, what)?;
        let meta = file.metadata().context(Kind::NotFound, what)?;
        if !meta.is_file() {
            return Err(Error::new(Kind::Usage, format!("{} is no regular file", host.display())));
        }
        let name = host.file_name().unwrap_or_default().to_string_lossy();
        let target =
            if guest.is_empty() || guest.ends_with('/') { format!("{guest}{name}") } else { guest.into() };
        self.write_from(&target, meta.permissions().mode() & 0o7777, &mut file)
    }

    /// Copies a file of the guest to the host, permission bits included, whole or not at all. A folder is one to put
    /// it in.
    pub fn pull(&self, guest: &str, host: &Path) -> Result<()> {
        let name = guest.rsplit('/').next().unwrap_or(guest);
        let target = if host.is_dir() { host.join(name) } else { host.to_owned() };
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let what = || format!("cannot write {}", target.display());
        let mut draft = tempfile::NamedTempFile::new_in(folder).context(Kind::Lab, what)?;
        let mode = self.read_to(guest, &mut draft)?;
        draft.as_file().set_permissions(PermissionsExt::from_mode(mode)).context(Kind::Lab, what)?;
        draft.persist(&target).map_err(|e| e.error).context(Kind::Lab, what)?;
        Ok(())
    }

    /// Streams a file of the guest; gives its permission bits.
    fn read_to(&self, path: &str, to: &mut dyn Write) -> Result<u32> {
        let stream = self.request(Request::Read { path: path.as_bytes().to_vec() })?;
        loop {
            match self.next(&stream, None)? {
                Some(Event::Data(_, bytes)) => {
                    to.write_all(&bytes)
                        .context(Kind::Lab, || format!("cannot keep the content of {path}"))?;
                }
                Some(Event::Closed(Outcome::File { mode })) => return Ok(mode),
                Some(Event::Closed(outcome)) => {
                    done(outcome)?;
                    return Err(Error::new(Kind::Lab, format!("the agent did not say that {path} is whole")));
                }
                _ => {}
            }
        }
    }

    fn write_from(&self, path: &str, mode: u32, from: &mut dyn Read) -> Result<()> {
        let stream = self.request(Request::Write { path: path.as_bytes().to_vec(), mode })?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            crate::interrupt::check()?;
            let n =
                from.read(&mut buffer).context(Kind::Lab, || format!("cannot read what goes to {path}"))?;
            if n == 0 {
                break;
            }
            if !self.send(&stream, &buffer[..n])? {
                return self.outcome(&stream);
            }
        }
        // A file that cannot be written is closed from the other side: its outcome says why.
        let _ = stream.end(Channel::In);
        self.outcome(&stream)
    }

    fn outcome(&self, stream: &Stream) -> Result<()> {
        loop {
            if let Some(Event::Closed(outcome)) = self.next(stream, None)? {
                return done(outcome);
            }
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files into and out of the guest, streamed: none has to fit into memory.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use blockyard_proto::{Channel, Event, Outcome, Request, Stream};

use super::session::{Sent, Session, done};
use crate::error::{Context, Error, Kind, Result};

/// How long a file may stand still, under KVM: longer than a disk that was told to be slow takes for the bytes that are
/// under way ([`WINDOW`](blockyard_proto::WINDOW) of them), and than the kernel takes to complain of a task that hangs.
const IDLE: Duration = Duration::from_secs(180);

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
        self.read_within(self.idle(), path, to)
    }

    fn read_within(&self, idle: Duration, path: &str, to: &mut dyn Write) -> Result<u32> {
        let stream = self.request(Request::Read { path: path.as_bytes().to_vec() })?;
        loop {
            match self.next(&stream, Instant::now().checked_add(idle))? {
                Some(Event::Data(_, bytes)) => {
                    to.write_all(&bytes)
                        .context(Kind::Lab, || format!("cannot keep the content of {path}"))?;
                }
                Some(Event::Closed(Outcome::File { mode })) => return Ok(mode),
                Some(Event::Closed(outcome)) => {
                    done(outcome)?;
                    return Err(Error::new(Kind::Lab, format!("the agent did not say that {path} is whole")));
                }
                Some(_) => {}
                None => return Err(stuck("reading", path, "no byte of it has come", idle)),
            }
        }
    }

    fn write_from(&self, path: &str, mode: u32, from: &mut dyn Read) -> Result<()> {
        self.write_within(self.idle(), path, mode, from)
    }

    fn write_within(&self, idle: Duration, path: &str, mode: u32, from: &mut dyn Read) -> Result<()> {
        let stream = self.request(Request::Write { path: path.as_bytes().to_vec(), mode })?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            crate::interrupt::check()?;
            let n =
                from.read(&mut buffer).context(Kind::Lab, || format!("cannot read what goes to {path}"))?;
            if n == 0 {
                break;
            }
            match self.send(&stream, &buffer[..n], idle)? {
                Sent::All => {}
                Sent::Unwanted => return self.written(&stream, path, idle),
                Sent::TooSlow => return Err(stuck("writing", path, "no byte of it was taken", idle)),
            }
        }
        // A file that cannot be written is closed from the other side: its outcome says why.
        let _ = stream.end(Channel::In);
        self.written(&stream, path, idle)
    }

    fn written(&self, stream: &Stream, path: &str, idle: Duration) -> Result<()> {
        let deadline = Instant::now().checked_add(idle);
        loop {
            match self.next(stream, deadline)? {
                Some(Event::Closed(outcome)) => return done(outcome),
                Some(_) => {}
                None => return Err(stuck("writing", path, "its last bytes were not written", idle)),
            }
        }
    }

    fn idle(&self) -> Duration {
        self.engine().scale(IDLE)
    }
}

/// The machine lives, as the agent answers; what hangs is the file, or the disk below it.
fn stuck(doing: &str, path: &str, what: &str, idle: Duration) -> Error {
    let message = format!("{doing} {path} in the guest got stuck: {what} for {} s", idle.as_secs_f32());
    Error::new(Kind::Timeout, message).with_help(
        "a disk or driver may hang: the guest's kernel log tells. What has no end is for a command: \
         `blockyard exec --guest NAME -- cat PATH`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Engine;
    use crate::guest::vitals::Vitals;
    use blockyard_proto::{Decoder, Frame, Incoming, Link, WINDOW};
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;

    /// A session with an agent that lives, and does with a request what `serve` does: what that returns stays open.
    fn with_agent(serve: fn(Stream) -> Option<Arc<Stream>>, test: impl FnOnce(&Session)) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut port, _) = listener.accept().unwrap();
                let link = Link::new(port.try_clone().unwrap());
                let (mut decoder, mut buffer, mut open) = (Decoder::new(), vec![0; 64 << 10], Vec::new());
                while let Ok(n @ 1..) = port.read(&mut buffer) {
                    decoder.push(&buffer[..n]);
                    while let Some(frame) = decoder.next_frame().unwrap() {
                        match link.receive(frame).unwrap() {
                            Incoming::Hello { nonce, .. } => link.send(&Frame::welcome(nonce)).unwrap(),
                            Incoming::Open(stream, _) => open.extend(serve(stream)),
                            _ => {}
                        }
                    }
                }
            });
            let vitals = Vitals::of_another(dir.path(), std::process::id());
            let deadline = Instant::now() + Duration::from_secs(20);
            test(&Session::open(&socket, Engine::Kvm, vitals, deadline).unwrap());
        });
    }

    const SOON: Duration = Duration::from_millis(300);

    #[test]
    fn a_file_that_stops_to_come_is_given_up_by_name() {
        let begins = |stream: Stream| {
            stream.write(Channel::Out, b"a").unwrap();
            Some(Arc::new(stream))
        };
        with_agent(begins, |session| {
            let mut content = Vec::new();
            let error = session.read_within(SOON, "/dev/stuck", &mut content).unwrap_err();
            assert_eq!((error.kind(), &content[..]), (Kind::Timeout, &b"a"[..]));
            assert!(error.to_string().contains("/dev/stuck"), "{error}");
        });
    }

    #[test]
    fn a_file_that_is_not_taken_is_given_up_by_name() {
        with_agent(
            |stream| Some(Arc::new(stream)),
            |session| {
                for size in [1, 2 * WINDOW as usize] {
                    let content = vec![0; size];
                    let error =
                        session.write_within(SOON, "/mnt/stuck", 0o644, &mut &content[..]).unwrap_err();
                    assert_eq!(error.kind(), Kind::Timeout, "{size} bytes");
                    assert!(error.to_string().contains("/mnt/stuck"), "{error}");
                }
            },
        );
    }

    #[test]
    fn a_file_that_comes_slowly_is_read_to_its_end() {
        let slowly = |stream: Stream| {
            std::thread::spawn(move || {
                for _ in 0..4 {
                    // Slow is what it is to be: in all longer than a file may stand still.
                    std::thread::sleep(SOON / 3);
                    stream.write(Channel::Out, b"a").unwrap();
                }
                stream.close(Outcome::File { mode: 0o640 }).unwrap();
            });
            None
        };
        with_agent(slowly, |session| {
            let mut content = Vec::new();
            assert_eq!(session.read_within(SOON, "/dev/slow", &mut content).unwrap(), 0o640);
            assert_eq!(content, b"aaaa");
        });
    }
}

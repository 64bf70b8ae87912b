// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's machine protocol, as far as the lab speaks it: hot plug, and asking QEMU to end.
//!
//! QMP is JSON lines over a socket: commands, their answers, and events in between (QEMU's
//! `docs/interop/qmp-spec.rst`). Four commands do not call for a crate of generated types.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::error::{Context, Error, Kind, Result};
use crate::interrupt;

/// How long QEMU may take over an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// How often a wait looks at the interrupt flag.
const TICK: Duration = Duration::from_millis(100);

/// A conversation with one QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: BufReader<UnixStream>,
    /// What has come of the next message; a read that times out in its middle keeps it here.
    line: Vec<u8>,
    events: Vec<Value>,
    /// Of the last command: QEMU's answer carries it. One that comes after its command was given up is not the next one's.
    id: u64,
}

impl Qmp {
    /// Connects and agrees on capabilities.
    pub fn connect(socket: &Path) -> Result<Self> {
        let what = || format!("cannot reach QEMU at {}", socket.display());
        let stream = UnixStream::connect(socket).context(Kind::Lab, what)?;
        stream.set_read_timeout(Some(TICK)).context(Kind::Lab, what)?;
        let mut qmp = Self { stream: BufReader::new(stream), line: Vec::new(), events: Vec::new(), id: 0 };
        qmp.message(Instant::now() + ANSWER)?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives what it returns; QEMU's refusal is an error with its own words.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.id += 1;
        let line = format!("{}\n", json!({ "execute": command, "arguments": arguments, "id": self.id }));
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .context(Kind::MachineDied, || format!("cannot send `{command}` to QEMU"))?;
        let deadline = Instant::now() + ANSWER;
        loop {
            let mut message = self.message(deadline)?;
            if message.get("event").is_some() {
                self.events.push(message);
            } else if message["id"] != self.id {
                tracing::debug!("QEMU's late answer: {message}");
            } else if let Some(error) = message.get("error") {
                let why = error["desc"].as_str().unwrap_or("no reason given");
                return Err(Error::new(Kind::Lab, format!("QEMU refused `{command}`: {why}")));
            } else if let Some(value) = message.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Waits for an event that `wanted` accepts, those that have come before included.
    pub fn await_event(
        &mut self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        if let Some(at) = self.events.iter().position(&wanted) {
            return Ok(self.events.swap_remove(at));
        }
        let deadline = Instant::now() + limit;
        loop {
            let message = self.message(deadline).map_err(|e| match e.kind() {
                Kind::Timeout => {
                    Error::new(Kind::Timeout, format!("{what} did not happen within {} s", limit.as_secs()))
                }
                _ => e,
            })?;
            if message.get("event").is_some() {
                if wanted(&message) {
                    return Ok(message);
                }
                self.events.push(message);
            }
        }
    }

    /// The next message of any kind.
    fn message(&mut self, deadline: Instant) -> Result<Value> {
        while self.line.last() != Some(&b'\n') {
            interrupt::check()?;
            match self.stream.read_until(b'\n', &mut self.line) {
                Ok(0) => return Err(Error::new(Kind::MachineDied, "QEMU closed its control socket")),
                Ok(_) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::TimedOut
                    ) =>
                {
                    if Instant::now() >= deadline {
                        return Err(Error::new(Kind::Timeout, "QEMU did not answer on its control socket"));
                    }
                }
                Err(e) => return Err(e).context(Kind::MachineDied, || "cannot read from QEMU"),
            }
        }
        let line = std::mem::take(&mut self.line);
        serde_json::from_slice(&line).context(Kind::Lab, || {
            format!("QEMU sent what is not JSON: {}", String::from_utf8_lossy(&line).trim())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// A QEMU that says these lines, each after it has read one (the first at once).
    fn fake(lines: &'static [&'static str]) -> (tempfile::TempDir, Result<Qmp>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            for line in lines {
                stream.write_all(line.as_bytes()).unwrap();
                let mut command = String::new();
                if reader.read_line(&mut command).unwrap() == 0 {
                    return;
                }
            }
        });
        let qmp = Qmp::connect(&socket);
        (dir, qmp)
    }

    #[test]
    fn an_event_between_command_and_answer_is_kept() {
        let (_dir, qmp) = fake(&[
            "{\"QMP\":{}}\n",
            "{\"return\":{},\"id\":1}\n",
            "{\"event\":\"DEVICE_DELETED\",\"data\":{\"device\":\"a\"}}\n{\"return\":{\"x\":1},\"id\":2}\n",
        ]);
        let mut qmp = qmp.unwrap();
        assert_eq!(qmp.execute("query-x", json!({})).unwrap()["x"], 1);
        let event =
            qmp.await_event(Duration::from_secs(1), "it", |e| e["event"] == "DEVICE_DELETED").unwrap();
        assert_eq!(event["data"]["device"], "a");
    }

    #[test]
    fn a_late_answer_is_not_taken_for_the_next_commands() {
        let (_dir, qmp) = fake(&[
            "{\"QMP\":{}}\n",
            "{\"return\":{},\"id\":1}\n",
            "{\"error\":{\"desc\":\"of a command that was given up\"},\"id\":1}\n{\"return\":{\"x\":2},\"id\":2}\n",
        ]);
        assert_eq!(qmp.unwrap().execute("query-x", json!({})).unwrap()["x"], 2);
    }

    #[test]
    fn a_refusal_carries_qemus_words() {
        let (_dir, qmp) = fake(&[
            "{\"QMP\":{}}\n",
            "{\"return\":{},\"id\":1}\n",
            "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no slot left\"},\"id\":2}\n",
        ]);
        let error = qmp.unwrap().execute("device_add", json!({})).unwrap_err();
        assert!(error.to_string().contains("no slot left"), "{error}");
    }

    #[test]
    fn a_qemu_that_goes_away_is_a_dead_machine() {
        let (_dir, qmp) = fake(&["{\"QMP\":{}}\n", "{\"return\":{},\"id\":1}\n"]);
        let error = qmp.unwrap().execute("query-x", json!({})).unwrap_err();
        assert_eq!(error.kind(), Kind::MachineDied, "{error}");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A request as it lies in memory: what the driver wrote, what the device made of it, what it wrote back.
//!
//! This is for learning and for hunting a driver's bug. A trace reads from top to bottom as things happen: the available
//! ring, each descriptor as the device reads it, what the device says about the request, the bytes that it wrote, and the used
//! ring. Requests are printed when they are complete, so those of several queues do not mix.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use virtio_queue::desc::split::Descriptor;
use virtio_queue::{Queue, QueueT};
use vm_memory::Bytes;

use crate::Memory;
use crate::chain::walk::Witness;
use crate::device::Answer;
use crate::error::{Error, Result};
use crate::queue::Fault;

/// How many bytes of a buffer are shown.
const SHOWN: usize = 16;

/// Where a trace goes, and how much of it there will be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// A file, which is made anew; or stderr.
    pub file: Option<PathBuf>,
    /// How many requests are traced, from the first on.
    pub requests: u64,
}

/// Writes traces, for all queues of a device.
pub struct Tracer {
    sink: Mutex<Box<dyn Write + Send>>,
    left: AtomicU64,
    count: AtomicU64,
    /// Those that were handed to the device and are not back yet.
    under_way: Mutex<Vec<Request>>,
}

impl Tracer {
    /// A trace to a file or to stderr.
    pub fn new(options: &TraceOptions) -> Result<Self> {
        let sink: Box<dyn Write + Send> = match &options.file {
            None => Box::new(io::stderr()),
            Some(path) => Box::new(create(path)?),
        };
        Ok(Self::to(sink, options.requests))
    }

    /// A trace to anything.
    pub fn to(sink: Box<dyn Write + Send>, requests: u64) -> Self {
        Self {
            sink: Mutex::new(sink),
            left: AtomicU64::new(requests),
            count: AtomicU64::new(0),
            under_way: Mutex::new(Vec::new()),
        }
    }

    /// A request of this queue begins. `None` once there were enough.
    pub(crate) fn begin(&self, queue: usize) -> Option<Request> {
        let enough = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        enough.ok()?;
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Request::new(queue, number))
    }

    /// Keeps a request until it is given back, or prints it now if it never will be.
    pub(crate) fn keep(&self, request: Request, answer: &Result<Answer, Fault>) {
        match answer {
            Ok(Answer::Done(_) | Answer::Later) => lock(&self.under_way).push(request),
            Ok(Answer::NotYet) => {
                // It comes again, and is traced then.
                self.left.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Answer::Broken(_)) | Err(_) => self.print(request),
        }
    }

    /// A chain has been given back.
    pub(crate) fn used(&self, queue: usize, ring: &Queue, memory: &Memory, head: u16, written: u32) {
        let request = {
            let mut under_way = lock(&self.under_way);
            let found = under_way.iter().position(|request| request.queue == queue && request.head == head);
            let Some(found) = found else { return };
            under_way.remove(found)
        };
        request.used(ring, memory, written);
        self.print(request);
    }

    fn print(&self, request: Request) {
        let text = request.text.into_inner();
        let mut sink = lock(&self.sink);
        if let Err(error) = sink.write_all(text.as_bytes()).and_then(|()| sink.flush()) {
            tracing::warn!(%error, "a trace could not be written");
        }
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("left", &self.left).finish_non_exhaustive()
    }
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|source| Error::Trace { path: path.to_owned(), source })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One request that is being traced.
#[derive(Debug)]
pub struct Request {
    queue: usize,
    head: u16,
    text: RefCell<String>,
    writable: Vec<(String, Descriptor)>,
    indirect: bool,
}

impl Request {
    fn new(queue: usize, number: u64) -> Self {
        let text = RefCell::new(format!("request {number}, queue {queue}\n"));
        Self { queue, head: 0, text, writable: Vec::new(), indirect: false }
    }

    fn line(&self, line: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text.borrow_mut(), "  {line}");
    }

    /// What the available ring said.
    pub(crate) fn available(&mut self, queue: &Queue, memory: &Memory, position: u16, head: u16) {
        self.head = head;
        let entry = position.checked_rem(queue.size()).unwrap_or(0);
        let idx = queue.avail_idx(memory, Ordering::Relaxed).map_or(0, |idx| idx.0);
        self.line(format_args!(
            "available ring at {:#x}: idx {idx}, the device is at {position}: entry {entry} of {} is descriptor {head}",
            queue.avail_ring(),
            queue.size()
        ));
        self.line(format_args!("descriptor table at {:#x}:", queue.desc_table()));
    }

    /// What the device makes of it.
    pub(crate) fn note(&self, sentence: &str) {
        self.line(format_args!("device: {sentence}"));
    }

    /// What the device did.
    pub(crate) fn answered(&self, answer: &Result<Answer, Fault>) {
        match answer {
            Ok(Answer::Done(_) | Answer::NotYet) => {}
            Ok(Answer::Later) => self.line(format_args!("device: goes on with it while others come")),
            Ok(Answer::Broken(reason)) => self.line(format_args!("device: {reason}; the queue stops")),
            Err(fault) => self.line(format_args!("device: {fault}; the queue stops")),
        }
    }

    /// What was written back.
    fn used(&self, queue: &Queue, memory: &Memory, written: u32) {
        for (label, descriptor) in &self.writable {
            let bytes = preview(memory, descriptor);
            self.line(format_args!("buffer of {label} is now {bytes}"));
        }
        let idx = queue.next_used();
        let entry = idx.wrapping_sub(1).checked_rem(queue.size()).unwrap_or(0);
        self.line(format_args!(
            "used ring at {:#x}: entry {entry} is descriptor {}, {written} bytes written; idx {idx}",
            queue.used_ring(),
            self.head
        ));
    }
}

/// The descriptors as they are read. What readable buffers hold is told with them, so it is read from memory a second time:
/// a trace may differ from what the device saw if the driver changes it in between.
pub(crate) struct Watching<'r, 'm> {
    pub(crate) request: &'r mut Request,
    pub(crate) memory: &'m Memory,
}

impl Witness for Watching<'_, '_> {
    fn saw(&mut self, indirect: bool, index: u16, descriptor: &Descriptor) {
        let request = &mut *self.request;
        if indirect && !request.indirect {
            request.indirect = true;
            request.line(format_args!("indirect table:"));
        }
        let label = format!("{}descriptor {index}", if indirect { "indirect " } else { "" });
        let kind = match (descriptor.refers_to_indirect_table(), descriptor.is_write_only()) {
            (true, _) => "a table of descriptors",
            (_, true) => "for the device to write",
            (_, false) => "for the device to read",
        };
        let next =
            if descriptor.has_next() { format!(", next {}", descriptor.next()) } else { String::new() };
        let shows = !descriptor.refers_to_indirect_table() && !descriptor.is_write_only();
        let bytes = if shows { format!(": {}", preview(self.memory, descriptor)) } else { String::new() };
        request.line(format_args!(
            "  {index:>3}: {} bytes at {:#x}, {kind}{next}{bytes}",
            descriptor.len(),
            descriptor.addr().0
        ));
        if kind == "for the device to write" {
            request.writable.push((label, *descriptor));
        }
    }
}

/// The first bytes of a buffer.
fn preview(memory: &Memory, descriptor: &Descriptor) -> String {
    let mut bytes = [0; SHOWN];
    let len = SHOWN.min(descriptor.len() as usize);
    if memory.read_slice(&mut bytes[..len], descriptor.addr()).is_err() {
        return "not in memory".into();
    }
    let mut text: Vec<_> = bytes[..len].iter().map(|byte| format!("{byte:02x}")).collect();
    if descriptor.len() as usize > SHOWN {
        text.push("..".into());
    }
    text.join(" ")
}

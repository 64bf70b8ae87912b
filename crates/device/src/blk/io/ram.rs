// SPDX-License-Identifier: MIT OR Apache-2.0
//! A disk in memory: each request is one copy, carried out where it is found.
//!
//! The memory is a `memfd`, mapped shared, so that a hole punched into it gives memory back at once. The threads of
//! several queues copy from and to it at the same time, and so it is only ever touched as volatile memory: two requests
//! that overlap leave bytes of either, which is what a disk promises, and nothing here assumes that
//! a byte stays what it was.

use std::fs::File;
use std::io;
use std::sync::Arc;

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, ftruncate, memfd_create};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

use super::Common;
use crate::blk::request::{self, Parsed, Range, Request, Status};
use crate::chain::Chain;
use crate::device::{Answer, Handler};
use crate::error::{Error, Result};

/// The memory.
#[derive(Debug)]
pub struct Ram {
    file: Arc<File>,
    region: MmapRegion<()>,
}

impl Ram {
    /// Zeroes, which take no memory until they are written to.
    pub fn new(size: u64) -> Result<Self> {
        let what = || format!("cannot have a disk of {size} bytes in memory");
        let file = memfd_create("blockyard-disk", MemfdFlags::CLOEXEC)
            .map_err(|e| Error::backing(what())(e.into()))?;
        ftruncate(&file, size).map_err(|e| Error::backing(what())(e.into()))?;
        let file = Arc::new(File::from(file));
        let bytes = usize::try_from(size).map_err(|e| Error::backing(what())(io::Error::other(e)))?;
        let region = MmapRegion::from_file(FileOffset::from_arc(file.clone(), 0), bytes)
            .map_err(|e| Error::backing(what())(io::Error::other(e)))?;
        Ok(Self { file, region })
    }

    /// Carries it out. What the request says is within the disk.
    fn carry_out(&self, request: &Request<'_>, common: &Common) -> io::Result<()> {
        let counters = common.counters();
        match *request {
            Request::Read(offset, data) => {
                let disk = self.region.get_slice(offset as usize, data.len()).map_err(io::Error::other)?;
                data.copy_from(&disk);
                counters.reads.add(1);
                counters.bytes_read.add(data.len() as u64);
            }
            Request::Write(offset, data) => {
                let disk = self.region.get_slice(offset as usize, data.len()).map_err(io::Error::other)?;
                data.copy_to(&disk);
                counters.writes.add(1);
                counters.bytes_written.add(data.len() as u64);
            }
            Request::Flush => counters.flushes.add(1),
            Request::Id(data) => common.write_id(data),
            Request::Discard(ranges) => {
                ranges.iter().try_for_each(|range| self.fallocate(range, FallocateFlags::PUNCH_HOLE))?;
                counters.discards.add(1);
            }
            Request::WriteZeroes(ranges) => {
                ranges.iter().try_for_each(|range| self.write_zeroes(range))?;
                counters.write_zeroes.add(1);
            }
        }
        Ok(())
    }

    fn write_zeroes(&self, range: &Range) -> io::Result<()> {
        if range.unmap {
            return self.fallocate(range, FallocateFlags::PUNCH_HOLE);
        }
        let zeroes = [0; 4096];
        let disk =
            self.region.get_slice(range.offset as usize, range.len as usize).map_err(io::Error::other)?;
        let mut done = 0;
        while done < disk.len() {
            let rest = disk.offset(done).map_err(io::Error::other)?;
            let count = rest.len().min(zeroes.len());
            rest.copy_from(&zeroes[..count]);
            done += count;
        }
        Ok(())
    }

    fn fallocate(&self, range: &Range, how: FallocateFlags) -> io::Result<()> {
        if range.len == 0 {
            return Ok(());
        }
        Ok(fallocate(&self.file, how | FallocateFlags::KEEP_SIZE, range.offset, range.len)?)
    }
}

/// One queue of it.
pub struct RamQueue {
    pub(in crate::blk) ram: Arc<Ram>,
    pub(in crate::blk) common: Common,
}

impl Handler for RamQueue {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        let Some(Parsed { request, mut status, room }) = request::parse(chain, self.common.limits) else {
            return Answer::Broken("it has no room for a status");
        };
        let outcome = match request {
            Err(refusal) => self.common.refuse(chain, refusal),
            Ok(request) => {
                chain.note(|| request.describe());
                match self.ram.carry_out(&request, &self.common) {
                    Ok(()) => Status::Ok,
                    Err(error) => self.common.failed(&request.describe(), &error),
                }
            }
        };
        status.write(&[outcome as u8]);
        // All that it may write: a driver looks at the status alone.
        Answer::Done(room as u32)
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! One hostile thread: calls that are right, nearly right, and nonsense. What the driver tells is remembered, for an
//! answer to a request gets behind the checks only with an id and pages that are real.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use blockyard_abi::ioctl::Ioctl;
use blockyard_abi::simblk as abi;
use zerocopy::{FromBytes, IntoBytes};

use crate::arena::{Arena, Place};
use crate::documented::{
    CREATE, GET_BLK, INFO, IOCTLS, LIST, REGISTER, REMOVE, REQ_SIZE, SET_BLK, SET_TIMEOUT,
};
use crate::tally::Tally;

/// Where in the arena arrays lie.
const ARRAY: usize = 4096;

/// Open files of the control device, shared by all threads.
pub(crate) struct Files(Vec<Mutex<Arc<File>>>);

impl Files {
    pub(crate) fn open(count: usize) -> io::Result<Self> {
        (0..count).map(|_| Ok(Mutex::new(control()?))).collect::<io::Result<_>>().map(Self)
    }

    fn pick(&self, random: &mut fastrand::Rng) -> &Mutex<Arc<File>> {
        &self.0[random.usize(..self.0.len())]
    }

    fn get(&self, random: &mut fastrand::Rng) -> Arc<File> {
        self.pick(random).lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes a file, under the calls of others on it, and opens it anew: that is what ends a registration.
    fn reopen(&self, random: &mut fastrand::Rng) {
        if let Ok(file) = control() {
            *self.pick(random).lock().unwrap_or_else(PoisonError::into_inner) = file;
        }
    }
}

fn control() -> io::Result<Arc<File>> {
    OpenOptions::new().read(true).write(true).open(abi::CONTROL_PATH).map(Arc::new)
}

/// A hostile thread.
pub(crate) struct Attacker {
    files: Arc<Files>,
    arena: Arena,
    random: fastrand::Rng,
    tally: Tally,
    /// The last request that this thread was told of.
    request: abi::ReqSize,
}

impl Attacker {
    pub(crate) fn new(files: Arc<Files>, seed: u64) -> io::Result<Self> {
        let request = abi::ReqSize { after: 0, id: 1, bytes: 0, timeout_ms: 0, entries: 1 };
        let random = fastrand::Rng::with_seed(seed);
        Ok(Self { files, arena: Arena::new()?, random, tally: Tally::default(), request })
    }

    /// Attacks until told to stop.
    pub(crate) fn run(&mut self, stop: &AtomicBool) -> Tally {
        while !stop.load(Ordering::Relaxed) {
            match self.random.u32(..100) {
                0 => self.files.reopen(&mut self.random),
                1..30 => self.take_part(),
                _ => self.strike(),
            }
        }
        std::mem::take(&mut self.tally)
    }

    /// The steps of an honest mapper on one file, each of which may go wrong.
    fn take_part(&mut self) {
        let file = self.files.get(&mut self.random);
        let ask = abi::ReqSize { after: 0, id: 0, bytes: 0, timeout_ms: self.random.u32(..20), entries: 0 };
        if self.call(&file, REQ_SIZE, ask.as_bytes(), Place::Good) != 0 {
            return;
        }
        self.request = self.argument(REQ_SIZE.size());
        let map = self.get_blk(self.request.id, abi::MAX_MAP_ENTRIES);
        if self.call(&file, GET_BLK, map.as_bytes(), Place::Good) == 0 {
            self.answer_map(&file);
        }
    }

    /// Answers the map that lies in the arena, right or with one page wrong.
    fn answer_map(&mut self, file: &File) {
        let told: abi::GetBlk = self.argument(GET_BLK.size());
        let shift = self.random.u64(..4);
        let mut answers = Vec::new();
        for index in 0..told.count as usize {
            let bytes =
                self.arena.get(ARRAY + index * size_of::<abi::MapEntry>(), size_of::<abi::MapEntry>());
            let Ok(entry) = abi::MapEntry::read_from_bytes(&bytes) else { return };
            let page = (entry.physical_page + shift) % 256;
            answers.push(abi::MapAnswer {
                logical_page: entry.logical_page,
                physical_page: page,
                new_physical_page: page,
            });
        }
        if self.random.u32(..4) == 0 && !answers.is_empty() {
            let wrong = self.random.usize(..answers.len());
            answers[wrong].new_physical_page = self.number();
        }
        self.arena.put(ARRAY, answers.as_bytes());
        let argument = self.set_blk(told.id, told.count);
        self.call(file, SET_BLK, argument.as_bytes(), Place::Good);
    }

    /// One call of any kind.
    fn strike(&mut self) {
        let file = self.files.get(&mut self.random);
        let (number, _) = IOCTLS[self.random.usize(..IOCTLS.len())];
        let number = match self.random.u32(..50) {
            0 => Ioctl::from_raw(self.random.u32(..)),
            1 => Ioctl::from_raw(number.raw() ^ (1 << self.random.u32(..32))),
            _ => number,
        };
        let mut argument = self.plausible(number);
        if self.random.u32(..8) == 0 {
            self.random.fill(&mut argument);
        }
        // Waiting for ever in every thread would leave nobody to attack.
        if number == REQ_SIZE {
            argument[24..28].copy_from_slice(&self.random.u32(..30).to_ne_bytes());
        }
        let place = self.place();
        self.call(&file, number, &argument, place);
    }

    fn call(&mut self, file: &File, number: Ioctl, argument: &[u8], place: Place) -> i32 {
        self.arena.put(0, argument);
        let address = self.arena.place(place, argument.len(), self.random.usize(..));
        // SAFETY: the kernel checks what it is given: that is what is tested here. Whatever it writes, for an ioctl of any
        // driver that this file could be of, lies at an address of the arena's pages, or at one where this program has
        // nothing; both hold nothing that Rust knows of.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), number.raw() as libc::Ioctl, address) };
        let errno = if result == 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) };
        self.tally.call(number, errno);
        errno
    }

    fn argument<T: FromBytes>(&self, size: usize) -> T {
        let bytes = self.arena.get(0, size);
        T::read_from_bytes(&bytes).unwrap_or_else(|_| T::new_zeroed())
    }

    fn place(&mut self) -> Place {
        match self.random.u32(..20) {
            0 => Place::Guarded,
            1 => Place::ReadOnly,
            2 => Place::Wild(WILD[self.random.usize(..WILD.len())]),
            _ => Place::Good,
        }
    }

    /// An argument as a careless program would make it.
    fn plausible(&mut self, number: Ioctl) -> Vec<u8> {
        let (index, flags) = (self.index(), self.flags());
        let few = self.random.u32(..200);
        match number {
            CREATE => self.create(flags).as_bytes().to_vec(),
            REMOVE => abi::Remove { index, flags }.as_bytes().to_vec(),
            LIST | INFO => abi::Info { index, ..abi::Info::default() }.as_bytes().to_vec(),
            REGISTER => abi::Register { index, reserved: flags & 2 }.as_bytes().to_vec(),
            REQ_SIZE => {
                let after = if few < 20 { self.number() } else { 0 };
                abi::ReqSize { after, timeout_ms: few, ..self.request }.as_bytes().to_vec()
            }
            GET_BLK => self.get_blk(self.request.id, few).as_bytes().to_vec(),
            SET_BLK => self.set_blk(self.request.id, few).as_bytes().to_vec(),
            SET_TIMEOUT => abi::SetTimeout { index, timeout_ms: few }.as_bytes().to_vec(),
            _ => vec![0; number.size().min(ARRAY)],
        }
    }

    fn create(&mut self, flags: u32) -> abi::Create {
        let size = match self.random.u32(..10) {
            0 => self.number(),
            1 => abi::MAX_SIZE >> self.random.u32(6..30),
            _ => 1 << 20,
        };
        let block_size = if self.random.u32(..10) == 0 { self.number() as u32 } else { 512 };
        let flags = if self.random.u32(..10) == 0 { flags } else { 0 };
        abi::Create { size, memory_cap: self.random.u64(..2 << 20), block_size, flags, index: 0, reserved: 0 }
    }

    fn get_blk(&mut self, id: u64, count: u32) -> abi::GetBlk {
        abi::GetBlk { id, entries: self.array(), count, reserved: 0 }
    }

    fn set_blk(&mut self, id: u64, count: u32) -> abi::SetBlk {
        abi::SetBlk { id, answers: self.array(), count, error: 0 }
    }

    /// The address of an array: mostly a good one.
    fn array(&mut self) -> u64 {
        match self.random.u32(..12) {
            0 => self.arena.place(Place::Guarded, 64, self.random.usize(..)),
            1 => self.arena.place(Place::ReadOnly, 64, 0),
            2 => WILD[self.random.usize(..WILD.len())],
            _ => self.arena.address(ARRAY),
        }
    }

    fn index(&mut self) -> u32 {
        match self.random.u32(..12) {
            0 => self.number() as u32,
            1..4 => self.random.u32(..abi::MAX_DISKS),
            _ => self.random.u32(..6),
        }
    }

    fn flags(&mut self) -> u32 {
        [0, 0, 0, 1, 1, 2, u32::MAX][self.random.usize(..7)]
    }

    /// Numbers at which arithmetic goes wrong.
    fn number(&mut self) -> u64 {
        let edges = [
            0,
            1,
            255,
            256,
            4095,
            4096,
            u64::from(u32::MAX),
            1 << 32,
            abi::MAX_SIZE,
            u64::MAX - 4095,
            u64::MAX,
        ];
        match self.random.usize(..edges.len() + 2) {
            place if place < edges.len() => edges[place],
            _ => self.random.u64(..),
        }
    }
}

/// Addresses where this program has nothing: zero, the kernel's half, the hole between the halves, the very end.
const WILD: [u64; 5] = [0, 0xffff_8880_0000_0000, 0xffff_ffff_8100_0000, 0xdead_0000_0000_0100, u64::MAX - 7];

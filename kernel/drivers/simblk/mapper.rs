// SPDX-License-Identifier: GPL-2.0

//! The requests that wait for a user program, and when they stop waiting.
//!
//! While a program is registered, bios that read or write are *held*: put in a tree by id, until
//! one of these takes them out, and with that owns them:
//!
//! - the program's answer ([`Mapper::answer`]);
//! - the end of its registration: it closed its file, or died ([`Mapper::unregister`]), or was too
//!   slow ([`Mapper::watch`]). Then they are served under the identity mapping;
//! - the end of the disk ([`Mapper::die`]). Then they fail.
//!
//! Nobody who submits a bio ever sleeps for the program. A request that is too late ends the
//! registration: the program's idea of what is where is wrong from then on, as the identity mapping
//! was used without it.
//!
//! # Locks
//!
//! `table`, a mutex, is taken before `queue`, a spinlock. Bios are served with `table` held if by
//! an answer, so that two answers do not copy over each other, and are completed with no lock held.

use blockyard_abi::simblk as abi;
use kernel::{
    new_condvar, new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        CondVar, CondVarTimeoutResult, Mutex, SpinLock,
    },
    time::{msecs_to_jiffies, Jiffies},
};
use kit::{
    block::{Bio, Op, Status},
    delayed::Delayed,
    flag::Flag,
};

use crate::{
    disk::SimDisk,
    mapping::{Answer, Table},
    queue::{pop, AllHeld, Held, Place, Queue, Token},
};

/// What can be told of a mapper.
pub(crate) struct State {
    pub(crate) registered: bool,
    pub(crate) held: u32,
    pub(crate) timeout_ms: u32,
}

/// The part of a disk that deals with its mapping program.
#[pin_data]
pub(crate) struct Mapper {
    /// Whether a bio needs a closer look: a program is registered, or the disk is dying. A hint, so
    /// that the hot path costs one load; `queue` tells the truth.
    attention: Flag,
    timeout_ms: Atomic<u32>,
    #[pin]
    queue: SpinLock<Queue>,
    #[pin]
    arrival: CondVar,
    #[pin]
    table: Mutex<Table>,
}

impl Mapper {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            attention: Flag::new(false),
            timeout_ms: Atomic::new(abi::DEFAULT_TIMEOUT_MS),
            queue <- new_spinlock!(Queue::default()),
            arrival <- new_condvar!(),
            table <- new_mutex!(Table::default()),
        })
    }

    #[inline(always)]
    pub(crate) fn wants_attention(&self) -> bool {
        self.attention.get()
    }

    pub(crate) fn state(&self) -> State {
        let queue = self.queue.lock();
        State {
            registered: queue.owner.is_some(),
            held: queue.count,
            timeout_ms: self.timeout_ms.load(Relaxed),
        }
    }

    /// Takes a bio of a disk that wants attention.
    pub(crate) fn submit(disk: &Delayed<SimDisk>, bio: Bio, op: Op) {
        match op {
            Op::Read | Op::Write => Self::hold(disk, bio, op),
            Op::Flush => disk.complete(bio, Ok(())),
            // These name no pages that could be mapped, and under the identity mapping they would
            // hit pages that the program uses for something else. Who sends them copes: file
            // systems go on, writing zeroes falls back to writing.
            _ => disk.complete(bio, Err(Status::NotSupported)),
        }
    }

    fn hold(disk: &Delayed<SimDisk>, bio: Bio, op: Op) {
        let Some(place) = reserve(&bio) else {
            let nowait = bio.nowait();
            return disk.complete(
                bio,
                Err(if nowait {
                    Status::Again
                } else {
                    Status::NoMemory
                }),
            );
        };
        match disk.mapper.insert(place, Held::new(bio, op)) {
            Ok(()) => {
                disk.mapper.arrival.notify_all();
                disk.schedule(disk.mapper.timeout_ms.load(Relaxed));
            }
            Err((held, true)) => disk.complete(held.bio, Err(Status::Io)),
            Err((held, false)) => serve(disk, held),
        }
    }

    /// Puts a request into the queue, unless nobody is registered (any more); then says whether the
    /// disk is dying.
    fn insert(&self, place: Place, held: Held) -> Result<(), (Held, bool)> {
        let mut queue = self.queue.lock();
        if queue.owner.is_none() {
            return Err((held, queue.dying));
        }
        queue.insert(place, held);
        Ok(())
    }

    /// Registers a program: what comes from now on is held for it.
    pub(crate) fn register(&self) -> Result<Token> {
        let mut table = self.table.lock();
        let mut queue = self.queue.lock();
        if queue.dying {
            return Err(ENODEV);
        }
        if queue.owner.is_some() {
            return Err(EBUSY);
        }
        let token = queue.begin();
        self.attention.set(true);
        drop(queue);
        // Whatever the last program made of the pages, the identity mapping was in force since.
        *table = Table::default();
        Ok(token)
    }

    /// Whether a registration is in force.
    pub(crate) fn is_registered(&self, token: Token) -> bool {
        self.queue.lock().owner == Some(token)
    }

    /// Ends a registration, if it is still in force; what was held goes on with the identity
    /// mapping.
    pub(crate) fn unregister(disk: &Delayed<SimDisk>, token: Token) {
        let mut queue = disk.mapper.queue.lock();
        if queue.check(token).is_err() {
            return;
        }
        let held = queue.end();
        disk.mapper.attention.set(false);
        drop(queue);
        let count = serve_all(disk, held);
        pr_info!(
            "{}{}: the mapping program is gone, identity mapping from now on \
             ({count} request(s) were waiting)\n",
            abi::NAME,
            disk.index
        );
    }

    /// The watchdog: ends the registration if the oldest request has waited too long, else comes
    /// again when it will have.
    pub(crate) fn watch(disk: &Delayed<SimDisk>) {
        let limit = disk.mapper.timeout_ms.load(Relaxed);
        let mut queue = disk.mapper.queue.lock();
        let Some((_, oldest)) = queue.next(0) else {
            return;
        };
        let waited = oldest.waited_ms();
        if waited < u64::from(limit) {
            return disk.schedule(limit - waited as u32);
        }
        let held = queue.end();
        disk.mapper.attention.set(false);
        drop(queue);
        disk.mapper.arrival.notify_all();
        let count = serve_all(disk, held);
        pr_warn!(
            "{}{}: no answer from the mapping program for {waited} ms, identity mapping from \
             now on ({count} request(s) were waiting)\n",
            abi::NAME,
            disk.index
        );
    }

    /// The disk is about to go: fails what is held, and what comes.
    pub(crate) fn die(disk: &SimDisk) {
        let mut queue = disk.mapper.queue.lock();
        queue.dying = true;
        let mut held = queue.end();
        disk.mapper.attention.set(true);
        drop(queue);
        disk.mapper.arrival.notify_all();
        while let Some(held) = pop(&mut held) {
            disk.complete(held.bio, Err(Status::Io));
        }
    }

    /// Sets how long an answer may take.
    pub(crate) fn set_timeout(disk: &Delayed<SimDisk>, timeout_ms: u32) -> Result {
        if !(1..=abi::MAX_TIMEOUT_MS).contains(&timeout_ms) {
            return Err(EINVAL);
        }
        disk.mapper.timeout_ms.store(timeout_ms, Relaxed);
        // The watchdog may sleep for the old time.
        disk.reschedule(timeout_ms);
        Ok(())
    }

    /// Waits for a request with an id above `after`, and gives its id to `f`.
    pub(crate) fn wait<R>(
        &self,
        token: Token,
        after: u64,
        timeout_ms: u32,
        f: impl FnOnce(u64, &Held) -> R,
    ) -> Result<R> {
        let first = after.checked_add(1).ok_or(EINVAL)?;
        let mut patience = Patience::new(timeout_ms);
        let mut queue = self.queue.lock();
        loop {
            queue.check(token)?;
            if let Some((id, held)) = queue.next(first) {
                return Ok(f(id, held));
            }
            let left = patience.left.ok_or(patience.exhausted)?;
            match self.arrival.wait_interruptible_timeout(&mut queue, left) {
                // `EINTR` if the program has a handler for the signal, whatever its flags; a
                // signal that does nothing is not to be noticed.
                CondVarTimeoutResult::Signal { .. } => return Err(ERESTARTNOHAND),
                CondVarTimeoutResult::Timeout => patience.left = None,
                CondVarTimeoutResult::Woken { jiffies } => patience.woken(jiffies),
            }
        }
    }

    /// Gives a held request, and the mapping in force, to `f`.
    pub(crate) fn look<R>(
        &self,
        token: Token,
        id: u64,
        f: impl FnOnce(&Held, &Table) -> R,
    ) -> Result<R> {
        let table = self.table.lock();
        let queue = self.queue.lock();
        queue.check(token)?;
        Ok(f(queue.get(id)?, &table))
    }

    /// Answers a request: moves its data as the answer says, and completes it. The inner result is
    /// what it ended with.
    ///
    /// A wrong answer is an error, and changes nothing.
    pub(crate) fn answer(
        disk: &SimDisk,
        token: Token,
        id: u64,
        answer: Answer,
    ) -> Result<Result<(), Status>> {
        let mut table = disk.mapper.table.lock();
        let held = disk.mapper.claim(token, id, &answer)?;
        let result = answer.serve(disk, &held);
        if result.is_ok() {
            answer.record(&held, &mut table);
        }
        drop(table);
        disk.complete(held.bio, result);
        Ok(result)
    }

    /// Takes a request out of the queue, if the answer fits it.
    fn claim(&self, token: Token, id: u64, answer: &Answer) -> Result<Held> {
        let mut queue = self.queue.lock();
        queue.check(token)?;
        answer.check(queue.get(id)?)?;
        queue.remove(id)
    }
}

/// How long a waiting program wants to wait.
struct Patience {
    left: Option<Jiffies>,
    exhausted: Error,
    forever: bool,
}

impl Patience {
    fn new(timeout_ms: u32) -> Self {
        let (left, exhausted) = match timeout_ms {
            0 => (None, EAGAIN),
            abi::WAIT_FOREVER => (Some(Jiffies::MAX), ETIMEDOUT),
            // One more, as the tick that is under way is not a whole one.
            ms => (Some(msecs_to_jiffies(ms).saturating_add(1)), ETIMEDOUT),
        };
        Self {
            left,
            exhausted,
            forever: timeout_ms == abi::WAIT_FOREVER,
        }
    }

    fn woken(&mut self, left: Jiffies) {
        if !self.forever {
            self.left = Some(left);
        }
    }
}

/// Memory for a place in the queue.
///
/// Some hundred bytes, for which the kernel would wait until there is some, if it may wait at all: for
/// ever, should the memory be waiting for this very bio. So it takes from the reserves, or fails the bio.
fn reserve(bio: &Bio) -> Option<Place> {
    let flags = if bio.nowait() { GFP_NOWAIT } else { GFP_ATOMIC };
    Place::new(flags | __GFP_NOWARN).ok()
}

/// Serves a request under the identity mapping.
fn serve(disk: &SimDisk, held: Held) {
    let result = disk.serve(&held.bio, held.op);
    disk.complete(held.bio, result);
}

fn serve_all(disk: &SimDisk, mut held: AllHeld) -> u32 {
    let mut count = 0;
    while let Some(held) = pop(&mut held) {
        serve(disk, held);
        count += 1;
    }
    count
}

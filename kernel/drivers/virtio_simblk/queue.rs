// SPDX-License-Identifier: GPL-2.0

//! A virtqueue: bios that go in, wait for room, and come back.
//!
//! Its requests are allocated when the device starts, as many as it has room for. A bio that finds
//! none free, or no room for its data, waits in its submitter, as it would for a tag; each request
//! that comes back wakes those who wait. One that must not wait is told to come again.
//!
//! The block layer lets no disk go while a bio is being submitted to it. So a removal waits for those
//! that wait for room, until the device has made some, and only then takes back what the device has.
//! (The kernel's own driver waits until the device has done all of it.)

use blockyard_abi::virtio_blk as abi;
use kernel::{new_condvar, prelude::*, sync::CondVar};
use kit::{
    block::{Bio, Status},
    virtio::{Chain, Handler, Locked, Outcome, Queue, Refused, Why},
};

use crate::request::{Progress, Request};

/// Most requests of one queue; 128 bytes each.
const MAX_REQUESTS: usize = 1024;

/// How many bios are completed after one hold of the lock.
const BATCH: usize = 8;

/// What the queue's lock guards: the requests that the device does not have.
#[derive(Default)]
pub(crate) struct State {
    /// Those that are for nothing.
    free: Pool,
    /// Those whose next step found no room.
    unsent: Pool,
    /// Tasks that wait for a request to come back.
    waiting: usize,
    /// What the device says that its id is.
    id: Option<[u8; abi::ID_BYTES]>,
}

/// Requests, of which there is room for all.
#[derive(Default)]
struct Pool(KVec<Chain<Request>>);

impl Pool {
    fn with_room(requests: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(requests, GFP_KERNEL)?))
    }

    #[inline]
    fn pop(&mut self) -> Option<Chain<Request>> {
        self.0.pop()
    }

    #[inline]
    fn push(&mut self, request: Chain<Request>) {
        // It allocates nothing, as there is room; if there were not, the request would be freed.
        let pushed = self.0.push_within_capacity(request);
        debug_assert!(pushed.is_ok());
    }
}

/// Bios that are done, and how.
struct Ended {
    bios: [Option<(Bio, Result<(), Status>)>; BATCH],
    count: usize,
}

impl Ended {
    fn new() -> Self {
        Self {
            bios: [const { None }; BATCH],
            count: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.count == BATCH
    }

    /// Adds one; not to be called when it is full.
    #[inline]
    fn push(&mut self, bio: Bio, result: Result<(), Status>) {
        self.bios[self.count] = Some((bio, result));
        self.count += 1;
    }

    /// Completes them. That runs their submitters' code, so the queue must not be locked.
    #[inline]
    fn complete(self) {
        for (bio, result) in self.bios.into_iter().take(self.count).flatten() {
            bio.complete(result);
        }
    }
}

/// The driver's side of a queue.
#[pin_data]
pub(crate) struct Requests {
    /// A request has come back, or none will.
    #[pin]
    back: CondVar,
}

type Held<'a> = Locked<'a, Requests>;

impl Requests {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            back <- new_condvar!("Requests::back"),
        })
    }

    /// Makes the requests, now that the queue's size is known.
    pub(crate) fn fill(queue: &Queue<Self>) -> Result {
        let count = queue.size().min(MAX_REQUESTS);
        let (mut free, unsent) = (Pool::with_room(count)?, Pool::with_room(count)?);
        for _ in 0..count {
            free.push(Chain::new(Request::new(), GFP_KERNEL)?);
        }
        let mut held = queue.lock();
        let state = held.state();
        (state.free, state.unsent) = (free, unsent);
        Ok(())
    }

    /// Asks the device for its id. The answer is in [`Self::id`] as soon as it is there.
    pub(crate) fn identify(queue: &Queue<Self>) -> Result {
        let mut held = queue.lock();
        let mut request = held.state().free.pop().ok_or(EBUSY)?;
        request.identify();
        Ok(held.add(request)?)
    }

    /// The device's id, if it has told one.
    pub(crate) fn id(queue: &Queue<Self>) -> Option<[u8; abi::ID_BYTES]> {
        queue.lock().state().id
    }

    /// Takes a bio.
    #[inline]
    pub(crate) fn submit(queue: &Queue<Self>, mut bio: Bio) {
        let mut held = queue.lock();
        loop {
            let refused = match Self::start(&mut held, bio) {
                Ok(()) => return,
                Err((back, refused)) => {
                    bio = back;
                    refused
                }
            };
            if refused != Status::Again || bio.nowait() {
                drop(held);
                return bio.complete(Err(refused));
            }
            held.state().waiting += 1;
            held.wait(&queue.handler().back);
            held.state().waiting -= 1;
        }
    }

    /// Sends a bio's first step to the device. If that fails, says how; [`Status::Again`] if it may
    /// succeed when a request has come back.
    #[inline]
    fn start(held: &mut Held<'_>, bio: Bio) -> Result<(), (Bio, Status)> {
        let Some(mut request) = held.state().free.pop() else {
            return Err((bio, Status::Again));
        };
        if let Err(bio) = request.begin(bio) {
            held.state().free.push(request);
            return Err((bio, Status::NotSupported));
        }
        let Err(Refused { mut chain, why }) = held.add(request) else {
            return Ok(());
        };
        let bio = chain.take_bio();
        held.state().free.push(chain);
        // It was given one above.
        bio.map_or(Ok(()), |bio| Err((bio, status(why))))
    }

    /// Looks at a request that the device has used.
    #[inline]
    fn proceed(held: &mut Held<'_>, mut request: Chain<Request>, ended: &mut Ended) {
        match request.advance() {
            Progress::Again => {
                Self::send(held, request, ended);
                return;
            }
            Progress::Done(bio, result) => ended.push(bio, result),
            Progress::Identified(id) => held.state().id = Some(id),
            Progress::Nothing => (),
        }
        held.state().free.push(request);
    }

    /// Sends the next step of a bio, now or when there is room; says whether there was.
    fn send(held: &mut Held<'_>, request: Chain<Request>, ended: &mut Ended) -> bool {
        let Err(Refused { mut chain, why }) = held.add(request) else {
            return true;
        };
        if why == Why::Full {
            held.state().unsent.push(chain);
            return false;
        }
        if let Some(bio) = chain.take_bio() {
            ended.push(bio, Err(status(why)));
        }
        held.state().free.push(chain);
        true
    }

    /// Sends what found no room before.
    #[inline]
    fn resend(held: &mut Held<'_>, ended: &mut Ended) {
        while !ended.is_full() {
            let Some(request) = held.state().unsent.pop() else {
                break;
            };
            if !Self::send(held, request, ended) {
                break;
            }
        }
    }
}

/// What a bio is told that was not added.
#[cold]
fn status(why: Why) -> Status {
    match why {
        Why::Full => Status::Again,
        Why::NoMemory => Status::NoMemory,
        Why::Gone | Why::Unfit(_) => Status::Io,
    }
}

impl Handler for Requests {
    type Buffers = Request;
    type State = State;

    fn notified(&self, queue: &Queue<Self>) {
        let mut more = true;
        while more {
            let mut ended = Ended::new();
            let mut held = queue.lock();
            held.disable_callbacks();
            // Each round ends one bio at most.
            while !ended.is_full() {
                let Some((request, _)) = held.pop() else {
                    break;
                };
                Self::proceed(&mut held, request, &mut ended);
            }
            Self::resend(&mut held, &mut ended);
            more = ended.is_full() || !held.enable_callbacks();
            let wanted = held.state().waiting > 0;
            drop(held);
            if wanted {
                self.back.notify_all();
            }
            ended.complete();
        }
    }

    fn back(&self, queue: &Queue<Self>, mut request: Chain<Request>, outcome: Outcome) {
        // The device is gone. What it has done is done; the rest fails.
        let done = match outcome {
            Outcome::Used(_) => request.advance(),
            Outcome::Unused => Progress::Again,
        };
        let ended = match done {
            Progress::Done(bio, result) => Some((bio, result)),
            _ => request.take_bio().map(|bio| (bio, Err(Status::Io))),
        };
        queue.lock().state().free.push(request);
        if let Some((bio, result)) = ended {
            bio.complete(result);
        }
    }

    fn stopped(&self, queue: &Queue<Self>) {
        loop {
            // Not in the loop's head, which would keep the lock.
            let unsent = queue.lock().state().unsent.pop();
            let Some(request) = unsent else { break };
            self.back(queue, request, Outcome::Unused);
        }
        self.back.notify_all();
    }
}

// SPDX-License-Identifier: GPL-2.0

//! One request: what the device is told to do for a bio, in one step or more.
//!
//! | bio | steps |
//! |---|---|
//! | read, discard, write of zeroes | the data |
//! | flush | a flush |
//! | write | the data |
//! | write after a flush (`REQ_PREFLUSH`) | a flush, the data |
//! | write that must be durable (`REQ_FUA`) | the data, a flush: the device has no such write |
//!
//! and a write that wants both, has three. Each step is a request to the device, made when the one
//! before has succeeded.

use blockyard_abi::virtio_blk as abi;
use kit::{
    block::{Bio, Op, Status},
    virtio::{Buffers, Readable, Writable},
};
use zerocopy::IntoBytes;

/// What the status is before the device writes it: none of the device's.
const NO_STATUS: u8 = 0xff;

/// Where a bio is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    FlushBefore,
    Data,
    FlushAfter,
}

/// What a request is for.
enum Job {
    Nothing,
    Identify,
    Bio(Bio, Step),
}

/// Which data it has beside header and status.
#[derive(Clone, Copy)]
enum Data {
    None,
    ToDevice,
    FromDevice,
    Range,
    Id,
}

/// A request. The device reads and writes its fields.
pub(crate) struct Request {
    header: abi::Header,
    range: abi::Range,
    id: [u8; abi::ID_BYTES],
    status: u8,
    data: Data,
    job: Job,
}

/// What has become of a request that came back.
pub(crate) enum Progress {
    /// The next step of its bio is to be sent.
    Again,
    /// The bio is done.
    Done(Bio, Result<(), Status>),
    /// The device has told its id.
    Identified([u8; abi::ID_BYTES]),
    /// It was for nobody.
    Nothing,
}

impl Request {
    /// A request for nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            header: abi::Header {
                kind: 0.into(),
                reserved: 0.into(),
                sector: 0.into(),
            },
            range: abi::Range {
                sector: 0.into(),
                sectors: 0.into(),
                flags: 0.into(),
            },
            id: [0; abi::ID_BYTES],
            status: NO_STATUS,
            data: Data::None,
            job: Job::Nothing,
        }
    }

    /// Asks for the device's id.
    pub(crate) fn identify(&mut self) {
        self.job = Job::Identify;
        self.tell(abi::T_GET_ID, 0, Data::Id);
    }

    /// Takes a bio on, for its first step. Gives it back if the device has no such operation.
    #[inline]
    pub(crate) fn begin(&mut self, bio: Bio) -> Result<(), Bio> {
        let step = match bio.op() {
            Op::Flush => Step::FlushAfter,
            Op::Write if bio.preflush() => Step::FlushBefore,
            Op::Other(_) => return Err(bio),
            _ => Step::Data,
        };
        self.prepare(bio, step);
        Ok(())
    }

    /// Fills in what the device reads for a step of a bio.
    #[inline]
    fn prepare(&mut self, bio: Bio, step: Step) {
        if step != Step::Data {
            self.tell(abi::T_FLUSH, 0, Data::None);
        } else {
            match bio.op() {
                Op::Read => self.tell(abi::T_IN, bio.sector(), Data::FromDevice),
                Op::Write => self.tell(abi::T_OUT, bio.sector(), Data::ToDevice),
                Op::Discard => self.tell_range(abi::T_DISCARD, &bio, 0),
                _ if bio.keep_allocated() => self.tell_range(abi::T_WRITE_ZEROES, &bio, 0),
                _ => self.tell_range(abi::T_WRITE_ZEROES, &bio, abi::Range::UNMAP),
            }
        }
        self.job = Job::Bio(bio, step);
    }

    #[inline]
    fn tell(&mut self, kind: u32, sector: u64, data: Data) {
        self.header.kind = kind.into();
        self.header.sector = sector.into();
        self.data = data;
        self.status = NO_STATUS;
    }

    fn tell_range(&mut self, kind: u32, bio: &Bio, flags: u32) {
        self.range = abi::Range {
            sector: bio.sector().into(),
            sectors: (bio.size() / abi::SECTOR_SIZE).into(),
            flags: flags.into(),
        };
        self.tell(kind, 0, Data::Range);
    }

    /// The bio, if it is for one; it is for nothing then.
    pub(crate) fn take_bio(&mut self) -> Option<Bio> {
        match core::mem::replace(&mut self.job, Job::Nothing) {
            Job::Bio(bio, _) => Some(bio),
            _ => None,
        }
    }

    /// What the device says of a request that it has used.
    fn result(&self) -> Result<(), Status> {
        match self.status {
            abi::S_OK => Ok(()),
            abi::S_UNSUPP => Err(Status::NotSupported),
            _ => Err(Status::Io),
        }
    }

    /// Looks at a request that the device has used.
    #[inline]
    pub(crate) fn advance(&mut self) -> Progress {
        let result = self.result();
        let (bio, step) = match core::mem::replace(&mut self.job, Job::Nothing) {
            Job::Bio(bio, step) => (bio, step),
            Job::Identify if result.is_ok() => return Progress::Identified(self.id),
            _ => return Progress::Nothing,
        };
        let next = match step {
            _ if result.is_err() => None,
            Step::FlushBefore => Some(Step::Data),
            Step::Data if bio.op() == Op::Write && bio.fua() => Some(Step::FlushAfter),
            _ => None,
        };
        let Some(next) = next else {
            return Progress::Done(bio, result);
        };
        self.prepare(bio, next);
        Progress::Again
    }
}

impl Buffers for Request {
    #[inline]
    fn describe<'a>(&'a mut self, readable: &mut Readable<'a>, writable: &mut Writable<'a>) {
        readable.bytes(self.header.as_bytes());
        match (self.data, &self.job) {
            (Data::ToDevice, Job::Bio(bio, _)) => readable.bio(bio),
            (Data::Range, _) => readable.bytes(self.range.as_bytes()),
            (Data::FromDevice, Job::Bio(bio, _)) => writable.bio(bio),
            (Data::Id, _) => writable.bytes(&mut self.id),
            _ => (),
        }
        writable.bytes(core::slice::from_mut(&mut self.status));
    }
}

// SPDX-License-Identifier: GPL-2.0

//! The probe, and what it leaves for readers.

use kernel::{
    fmt,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
};
use kit::{
    probe::{
        functions::{FileOpen, OpenCall},
        Caller, Handler,
    },
    ring::Ring,
    waiters::Waiters,
};

use crate::{event::Event, filter::Filter};

/// How many calls are kept for readers that are late.
const SLOTS: usize = 1024;

/// Writes down who opens which file.
#[pin_data]
pub(crate) struct Snoop {
    pub(crate) filter: Filter,
    pub(crate) events: Ring<Event>,
    /// How many of the lost events readers have been told of.
    told: Atomic<u64>,
    #[pin]
    pub(crate) readers: Waiters,
}

impl Handler for Snoop {
    type Function = FileOpen;

    fn entered(&self, call: Option<OpenCall<'_>>) {
        let Some(call) = call else { return };
        let caller = Caller::current();
        if self.filter.wants(&caller) {
            self.events.push(|event| event.record(&caller, call.path));
            self.readers.wake();
        }
    }
}

impl Snoop {
    pub(crate) fn new(filter: Filter) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            filter,
            events: Ring::new(SLOTS)?,
            told: Atomic::new(0),
            readers <- Waiters::new(),
        })
    }

    /// Whether there is something that no reader has been told.
    pub(crate) fn has_news(&self) -> bool {
        !self.events.is_empty() || self.events.lost() > self.told.load(Relaxed)
    }

    /// Writes the next line for a reader; false if there is nothing to tell.
    pub(crate) fn tell(&self, to: &mut dyn fmt::Write) -> Result<bool, fmt::Error> {
        let lost = self.newly_lost();
        if lost > 0 {
            to.write_fmt(fmt!("# {lost} lost\n"))?;
            return Ok(true);
        }
        let told = self.events.pop(|event| to.write_fmt(fmt!("{event}\n")));
        told.map_or(Ok(false), |written| written.map(|()| true))
    }

    /// How many events were lost since somebody was told of it. Each is told once, also with
    /// several readers: only one of them succeeds to say so.
    fn newly_lost(&self) -> u64 {
        let told = self.told.load(Relaxed);
        let lost = self.events.lost();
        let mine = lost > told && self.told.cmpxchg(told, lost, Relaxed).is_ok();
        if mine {
            lost - told
        } else {
            0
        }
    }
}

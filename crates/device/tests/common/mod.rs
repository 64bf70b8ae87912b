// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device that answers with what it was sent, and can be told to take its time.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::{Arc, Mutex};

use blockyard_device::queue::{Finished, Ticket};
use blockyard_device::{Answer, Chain, Device, Handler, Result, Waker};

/// Echoes the readable bytes into the writable ones.
#[derive(Default)]
pub struct Echo {
    /// Takes no chain while this is set.
    pub parked: Mutex<bool>,
    /// Keeps chains until [`Echo::finish`], instead of answering at once.
    pub slow: Mutex<bool>,
    kept: Mutex<Vec<(Ticket, u32)>>,
    finish: Mutex<Vec<(Ticket, u32)>>,
    waker: Mutex<Option<Waker>>,
}

impl Echo {
    /// Waits until it keeps so many chains.
    pub fn wait_until_kept(&self, n: usize) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while self.kept.lock().unwrap().len() < n {
            assert!(std::time::Instant::now() < deadline, "the device was not handed {n} chains");
            std::thread::yield_now();
        }
    }

    /// Finishes the `n`th of the chains that it keeps.
    pub fn finish(&self, n: usize) {
        let kept = self.kept.lock().unwrap().remove(n);
        self.finish.lock().unwrap().push(kept);
        self.waker.lock().unwrap().as_ref().unwrap().wake();
    }
}

impl Device for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn id(&self) -> u32 {
        35
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> usize {
        1
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn open(self: Arc<Self>, _queue: usize, waker: Waker) -> Result<Box<dyn Handler>> {
        *self.waker.lock().unwrap() = Some(waker);
        Ok(Box::new(EchoQueue(self)))
    }
}

struct EchoQueue(Arc<Echo>);

impl Handler for EchoQueue {
    fn handle(&mut self, chain: &mut Chain<'_>) -> Answer {
        if *self.0.parked.lock().unwrap() {
            return Answer::NotYet;
        }
        let mut bytes = vec![0; chain.readable().len()];
        chain.readable().read_exact(&mut bytes).unwrap();
        let written = chain.writable().write(&bytes) as u32;
        if *self.0.slow.lock().unwrap() {
            self.0.kept.lock().unwrap().push((chain.ticket(), written));
            return Answer::Later;
        }
        Answer::Done(written)
    }

    fn finished(&mut self, done: &mut Finished<'_>) {
        for (ticket, written) in self.0.finish.lock().unwrap().drain(..) {
            done.complete(ticket, written);
        }
    }

    fn drain(&mut self, done: &mut Finished<'_>) {
        self.finished(done);
        for (ticket, written) in self.0.kept.lock().unwrap().drain(..) {
            done.complete(ticket, written);
        }
    }
}

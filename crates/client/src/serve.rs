// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop of a mapper: take a request, fetch its map, answer it by a policy, count.

use blockyard_abi::simblk::{MapAnswer, MapEntry};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::mapper::{Mapper, Outcome, Request, Wait};
use crate::policy::{Policy, is_write};

/// A signal can come just before the wait for a request begins, and would then be seen only after it. So no wait is
/// longer than this, in milliseconds.
const LONGEST_WAIT_MS: u32 = 1_000;

/// Where requests come from: a [`Mapper`], or a disk made of memory in a test.
pub trait Source {
    /// The oldest request that is held; `None` if none came in time.
    fn next_request(&mut self, wait: Wait) -> Result<Option<Request>>;
    /// The map of a request.
    fn map(&self, request: &Request) -> Result<Vec<MapEntry>>;
    /// Answers a request.
    fn answer(&mut self, request: &Request, answers: &[MapAnswer]) -> Result<Outcome>;
}

impl Source for Mapper {
    fn next_request(&mut self, wait: Wait) -> Result<Option<Request>> {
        Self::next_request(self, wait)
    }

    fn map(&self, request: &Request) -> Result<Vec<MapEntry>> {
        Self::map(self, request)
    }

    fn answer(&mut self, request: &Request, answers: &[MapAnswer]) -> Result<Outcome> {
        Self::answer(self, request, answers)
    }
}

/// A request that was answered.
#[derive(Debug)]
pub struct Served<'a> {
    /// The request.
    pub request: Request,
    /// Its map.
    pub map: &'a [MapEntry],
    /// The answer.
    pub plan: &'a [MapAnswer],
    /// How it ended.
    pub outcome: Outcome,
}

/// What was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, reads.
    pub reads: u64,
    /// Of these, writes.
    pub writes: u64,
    /// Bytes that reads moved.
    pub bytes_read: u64,
    /// Bytes that writes moved.
    pub bytes_written: u64,
    /// Logical pages that the requests touched.
    pub pages: u64,
    /// Requests that the driver could not serve though the answer was right.
    pub failed: u64,
    /// Requests that were no longer held when their answer came.
    pub lost: u64,
}

impl Summary {
    fn count(&mut self, served: &Served<'_>) {
        self.requests += 1;
        self.pages += served.map.len() as u64;
        let write = served.map.first().is_some_and(is_write);
        let (requests, bytes) = match write {
            true => (&mut self.writes, &mut self.bytes_written),
            false => (&mut self.reads, &mut self.bytes_read),
        };
        *requests += 1;
        match served.outcome {
            Outcome::Done => *bytes += served.request.bytes,
            Outcome::Failed(_) => self.failed += 1,
        }
    }
}

/// A policy at work.
pub struct Server<S> {
    source: S,
    policy: Box<dyn Policy>,
    summary: Summary,
}

impl<S: Source> Server<S> {
    /// Puts a policy to work on a source of requests.
    pub fn new(source: S, policy: Box<dyn Policy>) -> Self {
        Self { source, policy, summary: Summary::default() }
    }

    /// Serves `limit` requests, or without one until `stop` says so, which is looked at before each request, when a signal
    /// ends a wait, and at least every second. `seen` gets each request after it was answered.
    ///
    /// # Errors
    /// Those of [`Mapper::next_request`] and [`Mapper::answer`], save that a signal is no error here, and that a single
    /// request which is gone before its answer came is counted as [`Summary::lost`].
    pub fn run(
        &mut self,
        limit: Option<u64>,
        stop: &dyn Fn() -> bool,
        seen: &mut dyn FnMut(&Served<'_>),
    ) -> Result<()> {
        while limit.is_none_or(|limit| self.summary.requests < limit) && !stop() {
            match self.source.next_request(Wait::Millis(LONGEST_WAIT_MS)) {
                Ok(Some(request)) => self.serve_or_lose(request, seen)?,
                Ok(None) | Err(Error::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn serve_or_lose(&mut self, request: Request, seen: &mut dyn FnMut(&Served<'_>)) -> Result<()> {
        match self.serve(request, seen) {
            // If it is the registration that has lapsed, the next wait says so.
            Err(Error::Lapsed { .. }) => {
                self.summary.lost += 1;
                Ok(())
            }
            result => result,
        }
    }

    fn serve(&mut self, request: Request, seen: &mut dyn FnMut(&Served<'_>)) -> Result<()> {
        let map = self.source.map(&request)?;
        let plan = self.policy.plan(&map);
        let outcome = self.source.answer(&request, &plan)?;
        if outcome == Outcome::Done {
            self.policy.done(&map, &plan);
        }
        let served = Served { request, map: &map, plan: &plan, outcome };
        self.summary.count(&served);
        seen(&served);
        Ok(())
    }

    /// What was served so far.
    pub fn summary(&self) -> Summary {
        self.summary
    }

    /// The policy.
    pub fn policy(&self) -> &dyn Policy {
        &*self.policy
    }

    /// Where the requests come from.
    pub fn source(&self) -> &S {
        &self.source
    }
}

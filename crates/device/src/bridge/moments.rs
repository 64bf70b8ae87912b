// SPDX-License-Identifier: MIT OR Apache-2.0
//! What happened on the host's side, until the guest has been told.

use std::collections::VecDeque;

/// Something that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A program has connected: the first, the second, and so on.
    Opened(u64),
    /// It has gone, after it had sent so many bytes.
    Closed(u64),
}

/// The last few that were not told yet, in order.
#[derive(Debug)]
pub struct Moments {
    list: VecDeque<Kept>,
    kept: usize,
    opened: u64,
    /// Since the last one that was kept.
    lost: u32,
}

#[derive(Debug)]
struct Kept {
    moment: Moment,
    /// How many bytes must have been read before it is due.
    due: u64,
    /// How many were lost between the one before and this one: a reader learns where the gap is, not only that there is one.
    lost: u32,
}

impl Moments {
    /// Keeps at most so many.
    pub fn new(kept: usize) -> Self {
        Self { list: VecDeque::new(), kept, opened: 0, lost: 0 }
    }

    /// A program has connected.
    pub fn open(&mut self) {
        self.opened += 1;
        self.keep(Moment::Opened(self.opened), 0);
    }

    /// It has gone. What it sent is read when so many bytes have been read in all.
    pub fn close(&mut self, sent: u64, read: u64) {
        self.keep(Moment::Closed(sent), read);
    }

    fn keep(&mut self, moment: Moment, due: u64) {
        if self.list.len() < self.kept {
            let lost = std::mem::take(&mut self.lost);
            self.list.push_back(Kept { moment, due, lost });
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// The next one, if it is due once so many bytes have been read; with the number of those that were lost before it.
    pub fn next(&mut self, read: u64) -> Option<(Moment, u32)> {
        let next = self.list.pop_front_if(|next| next.due <= read)?;
        Some((next.moment, next.lost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_comes_before_the_end() {
        let mut moments = Moments::new(16);
        moments.open();
        moments.close(10, 10);
        moments.open();
        assert_eq!(moments.next(0), Some((Moment::Opened(1), 0)));
        assert_eq!(moments.next(9), None, "nothing overtakes what is not due");
        assert_eq!(moments.next(10), Some((Moment::Closed(10), 0)));
        assert_eq!(moments.next(10), Some((Moment::Opened(2), 0)));
        assert_eq!(moments.next(10), None);
    }

    #[test]
    fn those_that_find_no_place_are_counted_where_they_are_missing() {
        let mut moments = Moments::new(2);
        (0..5).for_each(|_| moments.open());
        assert_eq!(moments.next(0), Some((Moment::Opened(1), 0)));
        moments.open();
        assert_eq!(moments.next(0), Some((Moment::Opened(2), 0)));
        assert_eq!(moments.next(0), Some((Moment::Opened(6), 3)));
        moments.open();
        assert_eq!(moments.next(0), Some((Moment::Opened(7), 0)));
    }
}

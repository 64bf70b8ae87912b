// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a queue has under way, in the order in which the driver made it available.

use std::collections::VecDeque;

/// Names a chain that is under way, for as long as the queue's worker lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

impl Ticket {
    /// As a number, for the other side of an asynchronous interface.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// Back from that number. One that was never given out names nothing.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

#[derive(Debug)]
struct Slot {
    head: u16,
    written: Option<u32>,
}

/// Chains under way.
///
/// # Invariants
///
/// `slots[i]` is the chain of ticket `first + i`. The first slot is never a finished one after
/// [`pop`](Self::pop) has returned `None`.
#[derive(Debug, Default)]
pub struct Order {
    slots: VecDeque<Slot>,
    first: u64,
}

impl Order {
    /// The ticket of the chain that comes next.
    pub fn next(&self) -> Ticket {
        Ticket(self.first + self.slots.len() as u64)
    }

    /// The next chain begins, and may be finished already.
    pub fn push(&mut self, head: u16, written: Option<u32>) {
        self.slots.push_back(Slot { head, written });
    }

    /// Chains that are under way, those included that wait for an earlier one.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is under way.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A chain is finished. Tells whether it was under way.
    pub fn finish(&mut self, ticket: Ticket, written: u32) -> bool {
        let slot = ticket.0.checked_sub(self.first).and_then(|i| usize::try_from(i).ok());
        let slot = slot.and_then(|i| self.slots.get_mut(i));
        match slot {
            Some(slot @ Slot { written: None, .. }) => {
                slot.written = Some(written);
                true
            }
            _ => false,
        }
    }

    /// The oldest chain, if it is finished: its head and the bytes written.
    pub fn pop(&mut self) -> Option<(u16, u32)> {
        let &Slot { head, written: Some(written) } = self.slots.front()? else { return None };
        self.slots.pop_front();
        self.first += 1;
        Some((head, written))
    }
}

/// Where a handler names the chains that it has finished.
#[derive(Debug)]
pub struct Finished<'a>(&'a mut Order);

impl<'a> Finished<'a> {
    pub(super) fn new(order: &'a mut Order) -> Self {
        Self(order)
    }

    /// This chain may go back to the driver; the device has written so many bytes to its front.
    pub fn complete(&mut self, ticket: Ticket, written: u32) {
        if !self.0.finish(ticket, written) {
            tracing::error!(?ticket, "a chain was completed that is not under way");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_go_back_in_the_order_in_which_they_came() {
        let mut order = Order::default();
        let tickets: Vec<_> = [7, 3, 9]
            .into_iter()
            .map(|head| {
                let ticket = order.next();
                order.push(head, None);
                ticket
            })
            .collect();
        assert!(order.finish(tickets[1], 1));
        assert!(order.finish(tickets[2], 2));
        assert_eq!(order.pop(), None, "the first is still under way");
        assert!(order.finish(tickets[0], 0));
        assert_eq!([order.pop(), order.pop(), order.pop()], [Some((7, 0)), Some((3, 1)), Some((9, 2))]);
        assert!(order.is_empty());
    }

    #[test]
    fn a_ticket_finishes_one_chain_once() {
        let mut order = Order::default();
        let ticket = order.next();
        assert!(!order.finish(ticket, 0), "not yet under way");
        order.push(1, None);
        assert!(order.finish(ticket, 0));
        assert!(!order.finish(ticket, 0), "finished already");
        order.pop();
        assert!(!order.finish(ticket, 0), "gone");
        assert!(!order.finish(Ticket::from_u64(u64::MAX), 0));
    }
}

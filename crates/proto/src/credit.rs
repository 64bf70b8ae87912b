// SPDX-License-Identifier: MIT OR Apache-2.0
//! Flow control as pure accounting: what may be sent, and what must be granted.
//!
//! Each channel of each stream starts with [`WINDOW`] bytes. A sender takes from its [`Allowance`]; the
//! receiver's [`Window`] checks that it did, and gives back what its consumer has used up, in lumps
//! of half a window so that grants cost little.

use crate::WINDOW;

/// The sender's side: how many bytes may go out.
#[derive(Debug, Clone, Copy)]
pub struct Allowance(u32);

impl Default for Allowance {
    fn default() -> Self {
        Self(WINDOW)
    }
}

impl Allowance {
    /// Takes up to `want`; returns how many may be sent now.
    pub fn take(&mut self, want: usize) -> usize {
        let granted = self.0.min(u32::try_from(want).unwrap_or(u32::MAX));
        self.0 -= granted;
        granted as usize
    }

    /// Adds a grant. A peer cannot make us send more than a window ahead, whatever it grants.
    pub fn grant(&mut self, bytes: u32) {
        self.0 = self.0.saturating_add(bytes).min(WINDOW);
    }
}

/// The receiver's side: what the sender may still send, and what to tell it.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    open: u32,
    used: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self { open: WINDOW, used: 0 }
    }
}

impl Window {
    /// Counts bytes that came in; an error with the excess if the sender had no right to.
    pub fn receive(&mut self, bytes: usize) -> Result<(), u32> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.open = self.open.checked_sub(bytes).ok_or_else(|| bytes - self.open)?;
        Ok(())
    }

    /// Counts bytes that the consumer has taken; the grant to send, when one is due.
    pub fn consume(&mut self, bytes: usize) -> Option<u32> {
        self.used += u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.used < WINDOW / 2 {
            return None;
        }
        let grant = std::mem::take(&mut self.used);
        self.open += grant;
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sender_that_takes_more_than_it_has_gets_what_is_there() {
        let mut allowance = Allowance::default();
        assert_eq!(allowance.take(usize::MAX), WINDOW as usize);
        assert_eq!(allowance.take(1), 0);
        allowance.grant(10);
        assert_eq!(allowance.take(100), 10);
    }

    #[test]
    fn a_grant_without_measure_does_not_open_more_than_a_window() {
        let mut allowance = Allowance::default();
        allowance.grant(u32::MAX);
        assert_eq!(allowance.take(usize::MAX), WINDOW as usize);
    }

    #[test]
    fn an_overrun_is_noticed_by_its_exact_excess() {
        let mut window = Window::default();
        assert_eq!(window.receive(WINDOW as usize), Ok(()));
        assert_eq!(window.receive(3), Err(3));
    }

    proptest! {
        /// Whatever the sizes: an honest sender is never accused, never starves while the consumer keeps
        /// up, and never has more than a window under way.
        #[test]
        fn both_ends_agree(sizes in prop::collection::vec((1_usize..70_000, 0_usize..70_000), 1..300)) {
            let (mut allowance, mut window, mut held) = (Allowance::default(), Window::default(), 0_usize);
            for (send, consume) in sizes {
                let sent = allowance.take(send);
                prop_assert_eq!(window.receive(sent), Ok(()));
                held += sent;
                prop_assert!(held <= WINDOW as usize);
                let used = consume.min(held);
                held -= used;
                if let Some(grant) = window.consume(used) {
                    allowance.grant(grant);
                }
            }
            if let Some(grant) = window.consume(held) {
                allowance.grant(grant);
            }
            prop_assert!(allowance.take(1) == 1, "starved with nothing under way");
        }
    }
}

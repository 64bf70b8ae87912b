// SPDX-License-Identifier: GPL-2.0

//! The memory of a RAM disk: a sparse store of pages. (That of a copy-on-write snapshot is in
//! [`overlay`].)
//!
//! # Look-up without a lock
//!
//! A [`PageStore`] has a fixed number of pages, so its index is a table and not a tree: a directory
//! of leaves, each leaf a page full of page pointers (2 MiB of data). Finding a page takes two
//! loads. Leaves are allocated when first written to and stay until the store goes (0.2% of the
//! data they cover), which is why reading them needs no care.
//!
//! Pages do go, by discard. The argument why nobody uses one that has gone:
//!
//! - *Publishing.* A page is filled first, then put into its slot by a fully ordered `cmpxchg`
//!   (with a null pointer expected). A reader loads the slot once (`READ_ONCE()`) and uses what it
//!   got. The address dependency from that load to the contents pairs with the order of the
//!   `cmpxchg`: a reader that sees the pointer sees the contents. (This is `rcu_assign_pointer()`
//!   and `rcu_dereference()`.)
//! - *Retiring.* Discard takes the page out of its slot by `xchg`, so that exactly one context gets
//!   it, and frees it by `call_rcu()`. Readers *and writers* of the contents hold the RCU read lock
//!   from the load of the slot to the end of the copy. So the page is freed only after the last of
//!   them, and a write that races with a discard goes either into the page that is read afterwards
//!   or into one that nobody will read: both are orders that the two could have had.
//! - *Two writers of one hole* both fill a page of their own; the `cmpxchg` lets one win, and the
//!   other copies into the winner's page and frees its own, which nobody has seen.
//! - *The end.* Dropping the store needs exclusive ownership, frees what is left at once, and then
//!   waits (`rcu_barrier()`) for the callbacks under way, whose code is in the module.
//!
//! What a page costs beside its data: 8 bytes of leaf. Memory is accounted by pages of data; after
//! a discard it comes back a grace period later than the count says, so that a cap may be overrun
//! for some milliseconds.

pub(crate) mod bytes;
mod leaf;
pub mod overlay;
mod page;
mod store;

pub use self::page::Wait;
pub use self::store::{PageStore, StoreError, PAGE_SIZE};

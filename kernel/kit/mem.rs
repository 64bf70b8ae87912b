// SPDX-License-Identifier: GPL-2.0

//! The memory of a RAM disk: a sparse store of pages. (That of a copy-on-write snapshot is in
//! [`overlay`].)
//!
//! # The tables
//!
//! A [`PageStore`] has a fixed size, so its index is a table and not a tree. The directory has a
//! slot for each 32 MiB, a leaf (4 KiB) one for each chunk of 64 KiB. Data that comes as whole
//! chunks, as it does when a disk is filled or a file system writes out files, gets its memory in
//! runs of 16 pages in a row. A run takes one word of a leaf: 0.125 MiB of tables for each GiB. It
//! is allocated at once, copied to and from in one piece, and given back at once.
//!
//! A chunk that is written to in part has a table of 16 pages instead, so that a store holds no
//! more than what was written, by pages. That costs 8 bytes for each page that there could be. A
//! discard of a part of a run turns it into such a table, without moving a byte.
//!
//! # Look-up without a lock
//!
//! These are all the states of a chunk, and how it goes from one to another:
//!
//! ```text
//!                  put_run (cmpxchg)                    split (cmpxchg)
//!          hole  ---------------------->  run  ---------------------------->  table
//!           | ^                            |                                    ^
//!           | '----------------------------'                                    |
//!           |              take_run (cmpxchg)                                   |
//!           '-------------------------------------------------------------------'
//!                                  make_table (cmpxchg)
//! ```
//!
//! Leaves and tables stay until the store goes (0.2% of the data they cover), which is why reading
//! them needs no care. Runs and pages do go, by discard. The argument why nobody uses one that has
//! gone:
//!
//! - *Publishing.* Memory is filled first, then put into its slot by a fully ordered `cmpxchg`
//!   (with a null pointer expected). A reader loads the slot once (`READ_ONCE()`) and uses what it
//!   got. The address dependency from that load to the contents pairs with the order of the
//!   `cmpxchg`: a reader that sees the pointer sees the contents. (This is `rcu_assign_pointer()`
//!   and `rcu_dereference()`.)
//! - *Retiring.* Discard takes a page out of its slot by `xchg`, a run by `cmpxchg`, so that
//!   exactly one context gets it, and frees it by `call_rcu()`. Readers *and writers* of the
//!   contents hold the RCU read lock from the load of the slot to the end of the copy. So it is
//!   freed only after the last of them, and a write that races with a discard goes either into the
//!   memory that is read afterwards or into some that nobody will read: both are orders that the
//!   two could have had.
//! - *Splitting.* The table has the pages of the run, at the addresses that they had. Who found the
//!   run before goes on using it: what it reads is what the table's pages have, what it writes is
//!   written to them. Who discards a page meanwhile frees it after those users. Only the allocator
//!   has to be told that the pages are now freed one by one (`split_page()`). That happens after
//!   the exchange, as the run might not be ours to split before, but under an RCU read lock that
//!   was taken before: so it happens before any page is freed.
//! - *Two writers of one hole* both fill memory of their own; the `cmpxchg` lets one win, and the
//!   other copies into the winner's and frees its own, which nobody has seen. They may be about a
//!   run and a page: then it is the state of the chunk that one wins.
//! - *The end.* Dropping the store needs exclusive ownership, frees what is left at once, and then
//!   waits (`rcu_barrier()`) for the callbacks under way, whose code is in the module.
//!
//! Memory is accounted by pages of data; after a discard it comes back a grace period later than
//! the count says, so that a cap may be overrun for some milliseconds.

pub(crate) mod bytes;
mod copying;
mod kcsan;
pub mod overlay;
mod page;
mod store;
mod table;

pub use self::page::Wait;
pub use self::store::{PageStore, StoreError, PAGE_SIZE};

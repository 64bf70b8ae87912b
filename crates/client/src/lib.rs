// SPDX-License-Identifier: MIT OR Apache-2.0
//! Safe user-space API to the ioctls of `simblk`, the simulated disk.
//!
//! Two values stand for the two things that a program does:
//!
//! - [`Control`] is the control device: disks are made, listed and removed through it.
//! - [`Mapper`] is an open file that takes part in each I/O of one disk. It lends out one request after the other; each is
//!   answered with the physical page of each logical page that it touches. Dropping the mapper ends its part, and
//!   the disk goes on by itself.
//!
//! What a mapper answers is a [`Policy`](policy::Policy): the identity, a shift, a random permutation, or a log-structured
//! translation layer as a flash disk has it. [`serve`] runs one against a mapper.
//!
//! The character devices among the examples have a module of their own, [`chrdev`].
//!
//! The numbers and structs are those of [`blockyard_abi::simblk`], which the driver is built from as well.
//! Every error is an [`Error`] that says what to do next.
//!
//! ```no_run
//! use blockyard_client::{Control, Mapper, NewDisk, policy, serve::Server};
//!
//! # fn main() -> blockyard_client::Result<()> {
//! let index = Control::open()?.create(&NewDisk { size: 64 << 20, ..NewDisk::default() })?;
//! let mapper = Mapper::register(index)?;
//! let shift = policy::Fixed::shift(16, mapper.pages());
//! let mut server = Server::new(mapper, Box::new(shift));
//! server.run(Some(10), &|| false, &mut |_| ())?;
//! println!("{:?}", server.summary());
//! # Ok(())
//! # }
//! ```

pub mod chrdev;
mod control;
mod error;
mod mapper;
pub mod policy;
pub mod serve;
mod sys;

pub use blockyard_abi::simblk as abi;
pub use control::{Control, Info, NewDisk, disk_info};
pub use error::{Error, Result};
pub use mapper::{Mapper, Outcome, Request, Wait};

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls: all unsafe code of this crate. An ioctl is as safe as the agreement on what its argument
//! is, and that agreement is one source for both sides: the number holds the size of the struct, the struct allows every bit
//! pattern, and the two structs that hold an address are filled in here, from slices.

use std::os::fd::BorrowedFd;

use blockyard_abi::ioctl::Ioctl as Number;
use blockyard_abi::simblk as abi;
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use zerocopy::{FromBytes, IntoBytes};

/// An ioctl on a struct that the kernel reads, writes, or both.
struct Call<'a, T> {
    number: Number,
    argument: &'a mut T,
}

// SAFETY: `as_ptr` gives the address of a `T` that is borrowed exclusively, and `call` has checked that it is as large
// as the number says, which is what the driver reads and writes. Any bytes are a `T` (`FromBytes`), and all its bytes are
// initialised (`IntoBytes`). It is marked as mutating, so nothing assumes that it is unchanged.
unsafe impl<T: FromBytes + IntoBytes> Ioctl for Call<'_, T> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.number.raw()
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::from_mut(self.argument).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut std::ffi::c_void) -> Result<(), Errno> {
        Ok(())
    }
}

/// Structs without addresses: the kernel touches nothing but the struct itself.
pub(crate) trait Plain: FromBytes + IntoBytes {}
impl Plain for abi::Create {}
impl Plain for abi::Remove {}
impl Plain for abi::Info {}
impl Plain for abi::Register {}
impl Plain for abi::ReqSize {}
impl Plain for abi::SetTimeout {}

/// Makes an ioctl of `simblk` whose argument holds no address.
pub(crate) fn plain<T: Plain>(fd: BorrowedFd<'_>, number: Number, argument: &mut T) -> Result<(), Errno> {
    // SAFETY: a `Plain` argument holds no address.
    unsafe { call(fd, number, argument) }
}

/// Fetches the map of a held request into `entries`; gives the number of entries that the request has.
pub(crate) fn get_blk(fd: BorrowedFd<'_>, id: u64, entries: &mut [abi::MapEntry]) -> Result<u32, Errno> {
    let count = u32::try_from(entries.len()).map_err(|_| Errno::INVAL)?;
    let mut argument = abi::GetBlk { id, entries: address(entries.as_mut_ptr()), count, reserved: 0 };
    // SAFETY: the argument holds the address and the length of `entries`, borrowed exclusively for the call; any bytes
    // are a `MapEntry`.
    unsafe { call(fd, abi::GET_BLK, &mut argument)? };
    Ok(argument.count)
}

/// Answers a held request; gives the error number that the request ended with, 0 for none.
pub(crate) fn set_blk(fd: BorrowedFd<'_>, id: u64, answers: &[abi::MapAnswer]) -> Result<u32, Errno> {
    let count = u32::try_from(answers.len()).map_err(|_| Errno::INVAL)?;
    let mut argument = abi::SetBlk { id, answers: address(answers.as_ptr()), count, error: 0 };
    // SAFETY: the argument holds the address and the length of `answers`, borrowed for the call; the driver only reads them.
    unsafe { call(fd, abi::SET_BLK, &mut argument)? };
    Ok(argument.error)
}

/// # Safety
/// Every address that the argument holds must be good for what the driver does with it.
unsafe fn call<T: FromBytes + IntoBytes>(
    fd: BorrowedFd<'_>,
    number: Number,
    argument: &mut T,
) -> Result<(), Errno> {
    assert_eq!(number.size(), size_of::<T>(), "the number of another struct");
    // SAFETY: see `Call`; the addresses in the argument are the caller's promise. A file of another driver would take
    // the number for its own at worst, with an argument of that same size.
    unsafe { ioctl(fd, Call { number, argument }) }
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls: all unsafe code of this crate. An ioctl is as safe as the agreement on what its argument
//! is, and that agreement is one source for both sides: a command's type says what is given and what is got, either allows
//! every bit pattern, and the two structs that hold an address are filled in here, from slices.

use std::os::fd::BorrowedFd;

use blockyard_abi::command::{Command, Crossing};
use blockyard_abi::{chardev_ioctl, simblk as abi, virtio_hello_echo};
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use zerocopy::{FromBytes, IntoBytes};

/// An ioctl on bytes that the kernel reads, writes, or both.
struct Call<'a> {
    number: Opcode,
    argument: &'a mut [u8],
}

// SAFETY: `as_ptr` gives the address of bytes that are borrowed exclusively, initialised, and as many as the number says, which
// is what the driver reads and writes (`call` has seen to that). It is marked as mutating, so nothing assumes that they are
// unchanged.
unsafe impl Ioctl for Call<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.number
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        self.argument.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut std::ffi::c_void) -> Result<(), Errno> {
        Ok(())
    }
}

/// What holds no address: the kernel touches nothing but the bytes themselves.
pub(crate) trait Plain: Crossing {}
impl Plain for () {}
impl Plain for u8 {}
impl Plain for chardev_ioctl::Message {}
impl Plain for chardev_ioctl::NthByte {}
impl Plain for virtio_hello_echo::Way {}
impl Plain for abi::Create {}
impl Plain for abi::Remove {}
impl Plain for abi::Info {}
impl Plain for abi::Register {}
impl Plain for abi::ReqSize {}
impl Plain for abi::SetTimeout {}

/// Makes an ioctl whose argument holds no address; gives what the driver answers.
pub(crate) fn plain<C>(fd: BorrowedFd<'_>, command: C, input: C::Input) -> Result<C::Output, Errno>
where
    C: Command<Input: Plain>,
{
    // SAFETY: a `Plain` input holds no address.
    unsafe { call(fd, command, input) }
}

/// Fetches the map of a held request into `entries`; gives the number of entries that the request has.
pub(crate) fn get_blk(fd: BorrowedFd<'_>, id: u64, entries: &mut [abi::MapEntry]) -> Result<u32, Errno> {
    let count = u32::try_from(entries.len()).map_err(|_| Errno::INVAL)?;
    let argument = abi::GetBlk { id, entries: address(entries.as_mut_ptr()), count, reserved: 0 };
    // SAFETY: the argument holds the address and the length of `entries`, borrowed exclusively for the call; any bytes
    // are a `MapEntry`.
    Ok(unsafe { call(fd, abi::GET_BLK, argument)? }.count)
}

/// Answers a held request; gives the error number that the request ended with, 0 for none.
pub(crate) fn set_blk(fd: BorrowedFd<'_>, id: u64, answers: &[abi::MapAnswer]) -> Result<u32, Errno> {
    let count = u32::try_from(answers.len()).map_err(|_| Errno::INVAL)?;
    let argument = abi::SetBlk { id, answers: address(answers.as_ptr()), count, error: 0 };
    // SAFETY: the argument holds the address and the length of `answers`, borrowed for the call; the driver only reads them.
    Ok(unsafe { call(fd, abi::SET_BLK, argument)? }.error)
}

/// # Safety
/// Every address that the input holds must be good for what the driver does with it.
unsafe fn call<C: Command>(fd: BorrowedFd<'_>, command: C, input: C::Input) -> Result<C::Output, Errno> {
    let mut bytes = vec![0; command.number().size()];
    // A command that gives nothing has room for what it gets, and the other way round.
    input.write_to_prefix(&mut bytes).map_err(|_| Errno::INVAL)?;
    // SAFETY: see `Call`; the addresses in the input are the caller's promise. A file of another driver would take the number
    // for its own at worst, with an argument of that same size.
    unsafe { ioctl(fd, Call { number: command.number().raw(), argument: &mut bytes })? };
    C::Output::read_from_prefix(&bytes).map(|(output, _)| output).map_err(|_| Errno::INVAL)
}

fn address<T>(pointer: *const T) -> u64 {
    pointer.expose_provenance() as u64
}

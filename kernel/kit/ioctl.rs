// SPDX-License-Identifier: GPL-2.0

//! Ioctls by typed commands.
//!
//! In C an ioctl is a `switch` over numbers, and each `case` must copy the struct that belongs to
//! its number, in the direction that the number announces, and check that it could. Here a command
//! is a constant that both sides share (`blockyard_abi::command`), and its type says all of that. So
//! a driver names the command and says what it does:
//!
//! ```ignore
//! fn ioctl(&self, _: &File, call: ioctl::Call) -> Result<isize> {
//!     call.on(abi::SET_BYTE, |byte| self.set(byte))
//!         .on(abi::GET_BYTE, |()| self.get())
//!         .answer()
//! }
//! ```
//!
//! The argument is copied in whole before the closure runs, and copied out whole after it has
//! succeeded. A pointer that is no good is `EFAULT`, a number that is no command of the driver's
//! `ENOTTY`. All bytes of what is copied out are initialised, by the trait `Crossing`, and any bytes
//! that come in are a value: what they mean is for the driver to judge.
//!
//! C header: [`include/linux/ioctl.h`](srctree/include/linux/ioctl.h)

use core::marker::PhantomData;

use blockyard_abi::{
    command::{Command, Crossing},
    ioctl::Ioctl,
};
use kernel::{
    prelude::*,
    uaccess::{UserPtr, UserSlice},
};

/// One ioctl that a user program makes, until it was answered.
#[must_use = "nothing is answered before `answer()`"]
pub struct Call {
    number: Ioctl,
    address: UserPtr,
    answer: Option<Result>,
}

impl Call {
    /// A call as it came in a system call.
    pub fn new(number: u32, argument: usize) -> Self {
        Self {
            number: Ioctl::from_raw(number),
            address: UserPtr::from_addr(argument),
            answer: None,
        }
    }

    /// Its number.
    pub fn number(&self) -> Ioctl {
        self.number
    }

    /// If the call is this command: takes its input, runs `what`, and gives back the output.
    pub fn on<C: Command>(
        self,
        command: C,
        what: impl FnOnce(C::Input) -> Result<C::Output>,
    ) -> Self {
        self.with(command, |argument| argument.put(&what(argument.get()?)?))
    }

    /// If the call is this command: runs `what` on its argument. For a command whose answer has
    /// something in it even if it is an error; any other wants [`Call::on`].
    pub fn with<C: Command>(
        mut self,
        command: C,
        what: impl FnOnce(&Argument<C>) -> Result,
    ) -> Self {
        if self.answer.is_none() && self.number == command.number() {
            let argument = Argument {
                address: self.address,
                _command: PhantomData,
            };
            self.answer = Some(what(&argument));
        }
        self
    }

    /// The answer: `ENOTTY` if the call was none of the commands.
    pub fn answer(self) -> Result<isize> {
        self.answer.unwrap_or(Err(ENOTTY)).map(|()| 0)
    }
}

/// The argument of a call of the command `C`, in user space.
///
/// The program may change it at any time, so no two calls of [`Argument::get`] need give the same.
pub struct Argument<C> {
    address: UserPtr,
    _command: PhantomData<C>,
}

impl<C: Command> Argument<C> {
    /// Copies the input in. `EFAULT` if it is not there.
    pub fn get(&self) -> Result<C::Input> {
        copy_in(self.address)
    }

    /// Copies the output out. `EFAULT` if it cannot be put there.
    pub fn put(&self, output: &C::Output) -> Result {
        let bytes = zerocopy::IntoBytes::as_bytes(output);
        let mut writer = UserSlice::new(self.address, bytes.len()).writer();
        writer.write_slice(bytes)
    }
}

fn copy_in<T: Crossing>(address: UserPtr) -> Result<T> {
    let mut value = T::new_zeroed();
    let bytes = value.as_mut_bytes();
    let mut reader = UserSlice::new(address, bytes.len()).reader();
    reader.read_slice(bytes)?;
    Ok(value)
}

// SPDX-License-Identifier: GPL-2.0

//! Module parameters that people can see: numbers, booleans, texts and lists.
//!
//! The `kernel` crate's `module!` takes numbers and booleans only, and shows none of them in sysfs.
//! A parameter that is declared with [`module_params!`](crate::module_params)
//!
//! - is in `modinfo`, with its type and description;
//! - can be read, not written, below `/sys/module/NAME/parameters`;
//! - refuses a wrong value with `EINVAL`, and a line in the kernel log says which value it was and
//!   what would be right;
//! - is a word of the kernel's command line, as `NAME.PARAMETER=VALUE`, when the driver is built in;
//! - has the last of its values, as a parameter in C has, when it is given more than once
//!   (`modprobe` puts those of its command line after those of its configuration).
//!
//! A value does not change any more once the module's own code runs. So reading one takes no lock,
//! and a text or a list is read in place.
//!
//! C header: [`include/linux/moduleparam.h`](srctree/include/linux/moduleparam.h)

mod list;
mod number;
mod text;
mod wrong;

pub use self::{list::List, number::Number, text::Text, wrong::Wrong};

use crate::compat;
use core::{cell::UnsafeCell, ptr::from_ref};
use kernel::{
    bindings,
    ffi::{c_char, c_int},
    fmt::{self, Write},
    module_param::KernelParam,
    page::PAGE_SIZE,
    prelude::*,
    str::{kstrtobool_bytes, BStr, Formatter},
};

/// A type of parameters.
///
/// Sealed: a parser runs while other parameters of the module are still being set, and must not
/// look at them.
pub trait Value: Copy + Sync + private::Sealed + 'static {
    /// What `modinfo` calls it; two parts, to be read as one word.
    const TYPE: [&'static str; 2];

    /// The value of a parameter that is given without one, as in `insmod hello.ko loud`.
    const WITHOUT_VALUE: Option<&'static str> = None;

    /// The value that was written like this.
    fn parse(text: &BStr) -> Result<Self, Wrong>;

    /// Writes the value as sysfs shows it, without the end of the line.
    fn show(&self, out: &mut Formatter<'_>) -> fmt::Result;
}

mod private {
    pub trait Sealed {}
}

impl private::Sealed for bool {}

impl Value for bool {
    const TYPE: [&'static str; 2] = ["", "bool"];
    const WITHOUT_VALUE: Option<&'static str> = Some("y");

    fn parse(text: &BStr) -> Result<Self, Wrong> {
        kstrtobool_bytes(text).map_err(|_| Wrong::Bool)
    }

    /// `Y` or `N`, as for a parameter in C.
    fn show(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_char(if *self { 'Y' } else { 'N' })
    }
}

/// A parameter of the module: the type of the statics that
/// [`module_params!`](crate::module_params) makes.
///
/// # Invariants
///
/// `value` is written only through [`Self::OPS`], and those are called only by the kernel's parser
/// of parameters. It is done before the module's `init` runs, and before the parameter's file
/// appears in sysfs; and that file cannot be written. (For a driver that is built in: it runs early
/// in the boot, before any driver does.) So there is no write once there may be readers.
pub struct Param<T: Value> {
    name: &'static str,
    value: UnsafeCell<T>,
    complain: fn(fmt::Arguments<'_>),
}

// SAFETY: By the type's invariants, all that concurrent users do with `value` is read it, and `T` is
// `Sync`. The other fields never change.
unsafe impl<T: Value> Sync for Param<T> {}

impl<T: Value> Param<T> {
    /// How the kernel sets and shows a parameter whose `arg` is a `Param<T>`.
    const OPS: &'static bindings::kernel_param_ops = &bindings::kernel_param_ops {
        flags: match T::WITHOUT_VALUE {
            Some(_) => bindings::KERNEL_PARAM_OPS_FL_NOARG,
            None => 0,
        },
        set: Some(Self::set),
        get: Some(Self::show),
        free: None,
    };

    /// For [`module_params!`](crate::module_params) alone. `complain` logs a line under the driver's
    /// name.
    #[doc(hidden)]
    pub const fn new(name: &'static str, value: T, complain: fn(fmt::Arguments<'_>)) -> Self {
        // INVARIANT: Nobody else knows of it yet.
        Self {
            name,
            value: UnsafeCell::new(value),
            complain,
        }
    }

    /// What the kernel needs to know of it, to be put into the section `__param`. `name` has the
    /// driver's before it if that is built in.
    #[doc(hidden)]
    pub const fn entry(&'static self, name: &'static [u8]) -> KernelParam {
        // INVARIANT: `perm` has no bit for writing, so only the parser of parameters calls `set`.
        KernelParam::new(bindings::kernel_param {
            name: c_string(name),
            mod_: compat::this_module(),
            ops: Self::OPS,
            perm: 0o444,
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: from_ref(self).cast_mut().cast(),
            },
        })
    }

    /// The value that the parameter was given, or else its default.
    #[inline]
    pub fn value(&self) -> T {
        *self.value_ref()
    }

    /// As [`value`](Self::value), in place.
    #[inline]
    pub fn value_ref(&self) -> &T {
        // SAFETY: The pointer is that of a field, so it is valid; by the type's invariants nobody
        // writes to it any more.
        unsafe { &*self.value.get() }
    }

    /// # Safety
    ///
    /// As for `kernel_param_ops.set`, called by the parser of parameters: `text` is null or a
    /// string, `param` an entry as [`Self::entry`] makes it, and nobody reads the parameter.
    unsafe extern "C" fn set(text: *const c_char, param: *const bindings::kernel_param) -> c_int {
        // SAFETY: `entry()` made `param`, and put a reference there that is good for ever.
        let this = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<Self>() };
        let text = if text.is_null() {
            BStr::from_bytes(T::WITHOUT_VALUE.unwrap_or_default().as_bytes())
        } else {
            // SAFETY: It is a string by this function's requirements, and stays one meanwhile.
            unsafe { CStr::from_char_ptr(text) }.as_ref()
        };
        match T::parse(text) {
            Ok(value) => {
                // SAFETY: The pointer is that of a field; that nobody reads it is a requirement of
                // this function; and the kernel sets one parameter after the other.
                unsafe { this.value.get().write(value) };
                0
            }
            Err(wrong) => {
                (this.complain)(fmt!("parameter {}={}: {}\n", this.name, text, wrong));
                EINVAL.to_errno()
            }
        }
    }

    /// # Safety
    ///
    /// As for `kernel_param_ops.get`, called by sysfs: `buffer` is a zeroed page that nobody else
    /// uses meanwhile, and `param` an entry as [`Self::entry`] makes it.
    unsafe extern "C" fn show(buffer: *mut c_char, param: *const bindings::kernel_param) -> c_int {
        // SAFETY: As in `set()`.
        let this = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<Self>() };
        // SAFETY: By this function's requirements.
        let page = unsafe { core::slice::from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE) };
        let mut out = Formatter::new(page);
        let shown = this.value_ref().show(&mut out);
        match shown.and_then(|()| out.write_char('\n')) {
            // A page, so it fits.
            Ok(()) => out.bytes_written() as c_int,
            Err(_) => EOVERFLOW.to_errno(),
        }
    }
}

/// The C string in `bytes`; a constant.
const fn c_string(bytes: &'static [u8]) -> *const c_char {
    match CStr::from_bytes_with_nul(bytes) {
        Ok(string) => kernel::str::as_char_ptr_in_const_context(string),
        Err(_) => panic!("a parameter's name has a NUL in it"),
    }
}

/// Declares the module's parameters, each as a [`Param`] in the module `parameters`.
///
/// A parameter's type is one of the integer types, `bool`, [`Text`] or [`List`]. It may stand beside
/// `params` of the `kernel` crate's `module!`.
///
/// # Examples
///
/// ```ignore
/// kit::module_params! {
///     times: u8 {
///         default: 1,
///         description: "How often to greet",
///     },
///     whom: Text<32> {
///         default: Text::new("world"),
///         description: "Whom to greet (at most 32 bytes)",
///     },
/// }
///
/// pr_info!("hello, {}\n", parameters::whom.value_ref());
/// ```
#[macro_export]
// The driver is meant: the names of its `module!` are at the root of its crate.
#[allow(clippy::crate_in_macro_def)]
macro_rules! module_params {
    ($($name:ident: $type:ty {
        default: $default:expr,
        description: $description:literal $(,)?
    }),* $(,)?) => {
        /// The module's parameters.
        mod parameters {
            #[allow(unused_imports)]
            use super::*;
            #[allow(unused_imports)]
            use $crate::param::{List, Text};

            fn complain(line: ::kernel::fmt::Arguments<'_>) {
                ::kernel::pr_err!("{}", line);
            }

            $(
                #[doc = $description]
                #[allow(non_upper_case_globals)]
                pub(crate) static $name: $crate::param::Param<$type> =
                    $crate::param::Param::new(stringify!($name), $default, complain);

                const _: () = {
                    const PREFIX: [&str; 2] = $crate::modinfo::prefix::<crate::LocalModule>();
                    const PARTS: &[&str] = &[PREFIX[0], PREFIX[1], stringify!($name), "\0"];
                    static NAME: [u8; $crate::modinfo::length(PARTS)] =
                        $crate::modinfo::concat(PARTS);

                    // The kernel takes the entries of this section for the module's parameters.
                    #[link_section = "__param"]
                    #[used(compiler)]
                    static ENTRY: ::kernel::module_param::KernelParam = $name.entry(&NAME);
                };

                $crate::modinfo_line!(
                    "parmtype=",
                    stringify!($name),
                    ":",
                    <$type as $crate::param::Value>::TYPE[0],
                    <$type as $crate::param::Value>::TYPE[1],
                );
                $crate::modinfo_line!("parm=", stringify!($name), ":", $description);
            )*
        }
    };
}

// SPDX-License-Identifier: GPL-2.0

//! The files of an object, each one value as text.

use core::{fmt::Write, marker::PhantomData};

use kernel::{
    bindings,
    error::{from_result, VTABLE_DEFAULT_ERROR},
    fmt,
    page::PAGE_SIZE,
    prelude::*,
    str::{as_char_ptr_in_const_context, Formatter},
};

use super::{Kobject, Object};

/// An attribute of objects of one type.
///
/// Everybody may read it; the owner (root) may write it, if there is a `store`.
#[vtable]
pub trait Attribute: 'static {
    /// The data of the objects that have it.
    type Object: Object;
    /// The file's name.
    const NAME: &'static CStr;

    /// What reading it gives, less than a page. By convention one value, with a line end.
    fn show(object: &Self::Object, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// Takes what was written (by one `write()`, whatever its offset), without blanks and line ends
    /// around it; at most a page.
    fn store(_object: &Kobject<Self::Object>, _text: &[u8]) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// An [`Attribute`] as an element of [`Object::ATTRIBUTES`].
pub struct AttributeOf<T: Object>(pub(super) &'static Table<T>);

impl<T: Object> AttributeOf<T> {
    /// The element for the attribute `A`.
    pub const fn new<A: Attribute<Object = T>>() -> Self {
        Self(TableOf::<A>::TABLE)
    }
}

type Show<T> = fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result;
type Store<T> = fn(&Kobject<T>, &[u8]) -> Result;

/// The functions of an attribute.
///
/// # Invariants
///
/// Static: it is only made by [`TableOf`].
#[repr(C)]
pub(super) struct Table<T: Object> {
    pub(super) attribute: bindings::attribute,
    show: Show<T>,
    store: Option<Store<T>>,
}

/// The table of the attribute `A`.
struct TableOf<A>(PhantomData<A>);

impl<A: Attribute> TableOf<A> {
    // INVARIANT: Static, as a constant's reference is.
    // (A kernel with lockdep has more fields in it.)
    #[allow(clippy::needless_update)]
    const TABLE: &'static Table<A::Object> = &Table {
        attribute: bindings::attribute {
            name: as_char_ptr_in_const_context(A::NAME),
            mode: if A::HAS_STORE { 0o644 } else { 0o444 },
            ..pin_init::zeroed()
        },
        show: A::show,
        store: if A::HAS_STORE { Some(A::store) } else { None },
    };
}

impl<T: Object> Table<T> {
    /// The functions that sysfs calls, for all attributes of such objects.
    pub(super) const OPERATIONS: &'static bindings::sysfs_ops = &bindings::sysfs_ops {
        show: Some(Self::show_from_c),
        store: Some(Self::store_from_c),
    };

    /// # Safety
    ///
    /// `attribute` must be the first field of a table of ours.
    unsafe fn from_c(attribute: *mut bindings::attribute) -> &'static Self {
        // SAFETY: By the function's contract, and `repr(C)`; by the type invariant it is static.
        unsafe { &*attribute.cast() }
    }

    /// # Safety
    ///
    /// Called by sysfs, for an object and an attribute of ours that are there until this returns;
    /// `page` is a page that is this call's own.
    unsafe extern "C" fn show_from_c(
        kobject: *mut bindings::kobject,
        attribute: *mut bindings::attribute,
        page: *mut c_char,
    ) -> isize {
        from_result(|| {
            // SAFETY: By the function's contract. What is in the page is initialised: sysfs has
            // cleared it.
            let (object, table, page) = unsafe {
                (
                    Kobject::<T>::from_c(kobject),
                    Self::from_c(attribute),
                    core::slice::from_raw_parts_mut(page.cast::<u8>(), PAGE_SIZE - 1),
                )
            };
            let mut page = Formatter::new(page);
            let value = Shown(table.show, &**object);
            page.write_fmt(fmt!("{value}")).map_err(|_| EMSGSIZE)?;
            Ok(page.bytes_written() as isize)
        })
    }

    /// # Safety
    ///
    /// Called by sysfs, for an object and an attribute of ours that are there until this returns;
    /// `text` is `count` bytes that stay as they are meanwhile.
    unsafe extern "C" fn store_from_c(
        kobject: *mut bindings::kobject,
        attribute: *mut bindings::attribute,
        text: *const c_char,
        count: usize,
    ) -> isize {
        from_result(|| {
            // SAFETY: By the function's contract.
            let (object, table, text) = unsafe {
                (
                    Kobject::<T>::from_c(kobject),
                    Self::from_c(attribute),
                    core::slice::from_raw_parts(text.cast::<u8>(), count),
                )
            };
            table.store.ok_or(EIO)?(object, text.trim_ascii())?;
            Ok(count as isize)
        })
    }
}

/// A value, as something to print.
struct Shown<'a, T>(Show<T>, &'a T);

impl<T> fmt::Display for Shown<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0(self.1, f)
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A mount, or a remount, that is being prepared: its options.

use core::marker::PhantomData;

use kernel::{bindings, error::from_result, prelude::*, types::ForeignOwnable};
use kit_bindings as more;

use super::{super_block::SuperBlock, FileSystem};

/// The functions that the kernel calls with a `struct fs_context` of the file system `T`.
///
/// # Invariants
///
/// After a successful [`Self::init`] and until [`Self::free`], the private data of such a context
/// are the foreign pointer of a `KBox<T::Options>`. Whoever calls the functions has the context
/// for itself.
pub(super) struct Context<T>(PhantomData<T>);

impl<T: FileSystem> Context<T> {
    const OPERATIONS: &'static more::fs_context_operations = &more::fs_context_operations {
        free: Some(Self::free),
        dup: None,
        parse_param: Some(Self::option),
        parse_monolithic: None,
        get_tree: Some(Self::mount),
        reconfigure: Some(Self::remount),
    };

    /// # Safety
    ///
    /// Called by the kernel for a new context of the file system `T`; if it is for a remount,
    /// `root` is that of a mounted instance.
    pub(super) unsafe extern "C" fn init(context: *mut bindings::fs_context) -> c_int {
        let context: *mut more::fs_context = context.cast();
        from_result(|| {
            // SAFETY: By the function's contract; the type is one and the same in C.
            let (purpose, root) = unsafe { ((*context).purpose(), (*context).root) };
            let options = if purpose == more::fs_context_purpose_FS_CONTEXT_FOR_RECONFIGURE {
                // SAFETY: By the function's contract; the context keeps the instance.
                unsafe { SuperBlock::<T>::instance((*root).d_sb) }
                    .options()
                    .clone()
            } else {
                T::Options::default()
            };
            let options = KBox::new(options, GFP_KERNEL)?;
            // INVARIANT: Just made.
            // SAFETY: By the function's contract these are its to set.
            unsafe {
                (*context).fs_private = options.into_foreign();
                (*context).ops = Self::OPERATIONS;
            }
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the kernel for a context that [`Self::init`] has succeeded for, as the last.
    unsafe extern "C" fn free(context: *mut more::fs_context) {
        // SAFETY: By the type invariant; nobody uses them any more.
        drop(unsafe { KBox::<T::Options>::from_foreign((*context).fs_private) });
    }

    /// # Safety
    ///
    /// As [`Self::remount`], with a valid parameter.
    unsafe extern "C" fn option(
        context: *mut more::fs_context,
        parameter: *mut more::fs_parameter,
    ) -> c_int {
        from_result(|| {
            // SAFETY: By the function's contract; the key is a string.
            let key = unsafe { CStr::from_char_ptr((*parameter).key) };
            // SAFETY: By the function's contract.
            let value = match unsafe { (*parameter).type_() } {
                more::fs_value_type_fs_value_is_flag => None,
                more::fs_value_type_fs_value_is_string => {
                    // SAFETY: The union is a string, as its type says.
                    Some(unsafe { CStr::from_char_ptr((*parameter).__bindgen_anon_1.string) })
                }
                _ => return Err(EINVAL),
            };
            // SAFETY: By the type invariant.
            let options = unsafe { &mut *(*context).fs_private.cast::<T::Options>() };
            let taken = T::option(options, key, value);
            if taken == Err(EINVAL) {
                // SAFETY: By the function's contract; the format takes one string. It goes to
                // whoever is mounting, or to the kernel log if that has not asked for messages.
                unsafe {
                    let log = &raw const (*context).log;
                    let text = c"bad value for option '%s'".as_char_ptr();
                    more::logfc(
                        (*log).log,
                        (*log).prefix,
                        b'e' as c_char,
                        text,
                        (*parameter).key,
                    );
                }
            }
            taken.map(|()| 0)
        })
    }

    /// # Safety
    ///
    /// As [`Self::remount`], but for a mount.
    unsafe extern "C" fn mount(context: *mut more::fs_context) -> c_int {
        // SAFETY: By the function's contract; the other function is one for a new super block.
        unsafe { more::get_tree_nodev(context, Some(SuperBlock::<T>::fill)) }
    }

    /// # Safety
    ///
    /// Called by the kernel for a context that [`Self::init`] has succeeded for, of a remount.
    unsafe extern "C" fn remount(context: *mut more::fs_context) -> c_int {
        // SAFETY: By the function's contract; the context keeps the instance.
        let instance = unsafe { SuperBlock::<T>::instance((*(*context).root).d_sb) };
        // SAFETY: By the type invariant.
        let same = unsafe { Self::options(context) } == instance.options();
        if same {
            0
        } else {
            EINVAL.to_errno()
        }
    }

    /// The options of a context.
    ///
    /// # Safety
    ///
    /// [`Self::init`] has succeeded for the context, and it is not used otherwise during `'a`.
    pub(super) unsafe fn options<'a>(context: *mut more::fs_context) -> &'a T::Options {
        // SAFETY: By the type invariant and the function's contract.
        unsafe { &*(*context).fs_private.cast::<T::Options>() }
    }
}

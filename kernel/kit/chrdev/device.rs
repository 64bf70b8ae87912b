// SPDX-License-Identifier: GPL-2.0

//! A device in the system.
//!
//! What C drivers do, a `struct device` and a `struct cdev` in one piece of memory that the last
//! reference to the device frees, has a gap: a reference to a device does not keep the module, so
//! whoever drops the last one may find the code that frees the memory gone. Here the two are apart.
//!
//! - The `struct device` is `device_create()`'s, and knows nothing of ours. Its memory is freed by
//!   the kernel's own code, however late.
//! - The `struct cdev` is in [`Inner`], with what its files share. Whoever holds a reference to a
//!   cdev also holds the module, and drops that last (`cdev_get()`, `cdev_put()`). So code of the
//!   module may run when the last one goes. A cdev has no function to call then, but a parent,
//!   which it keeps: [`Inner`] is freed by the release of a kobject that is that and nothing else.
//!   (Where the kernel puts off releases, [`release`] sees to it that the module waits for it.)

use core::ptr::NonNull;

use kernel::{
    bindings, container_of, device,
    error::{from_err_ptr, to_result},
    prelude::*,
    sync::Arc,
    types::Opaque,
};

use super::{release, Class, Number};
use crate::{
    compat,
    file::{Home, Operations, Table},
    flag::Flag,
};

/// A character device whose files are of the type `T`; removed when dropped.
///
/// The order of the fields is the order in which they go: the node before what it leads to.
pub struct Device<T: Operations> {
    _node: Node,
    _cdev: Cdev<T>,
    number: Number,
}

impl<T: Operations> Device<T> {
    /// Adds a device, as `/dev/NAME`; it may be opened before this returns.
    ///
    /// A class cannot have two devices of one name (`EEXIST`, and the kernel complains in its log).
    pub fn add(
        class: &Arc<Class>,
        number: Number,
        name: &CStr,
        shared: Arc<T::Shared>,
    ) -> Result<Self> {
        Self::add_with(None, class, number, name, shared)
    }

    /// As [`Self::add`], below another device: sysfs has the one in the other's folder, and leads
    /// from it to the other as `device`. To be dropped before that goes.
    pub fn add_below(
        parent: &device::Device<device::Bound>,
        class: &Arc<Class>,
        number: Number,
        name: &CStr,
        shared: Arc<T::Shared>,
    ) -> Result<Self> {
        Self::add_with(Some(parent), class, number, name, shared)
    }

    fn add_with(
        parent: Option<&device::Device<device::Bound>>,
        class: &Arc<Class>,
        number: Number,
        name: &CStr,
        shared: Arc<T::Shared>,
    ) -> Result<Self> {
        // In this order, so that who finds the node can open it.
        let cdev = Cdev::add(&number, shared)?;
        let node = Node::create(parent, class, &number, name)?;
        Ok(Self {
            _node: node,
            _cdev: cdev,
            number,
        })
    }

    /// Its number.
    pub fn number(&self) -> &Number {
        &self.number
    }
}

/// The device in sysfs and in `/dev`.
///
/// # Invariants
///
/// `device` is what `device_create()` made, not unregistered yet.
struct Node {
    device: NonNull<bindings::device>,
    _class: Arc<Class>,
}

// SAFETY: The driver core locks; any task may unregister a device.
unsafe impl Send for Node {}
// SAFETY: There is nothing to do with a shared reference to it.
unsafe impl Sync for Node {}

impl Node {
    fn create(
        parent: Option<&device::Device<device::Bound>>,
        class: &Arc<Class>,
        number: &Number,
        name: &CStr,
    ) -> Result<Self> {
        // A `Device` is a `struct device` and nothing else.
        let parent = parent.map_or(core::ptr::null_mut(), |parent| {
            core::ptr::from_ref(parent).cast_mut().cast()
        });
        // SAFETY: The class is alive. The parent, if there is one, is in the system while it is
        // bound, which it is during this call; from then on the device has a reference to it. No
        // data; the format takes one string, and copies it.
        let device = from_err_ptr(unsafe {
            bindings::device_create(
                class.as_ptr(),
                parent,
                number.as_raw(),
                core::ptr::null_mut(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        // INVARIANT: Just made.
        Ok(Self {
            device: NonNull::new(device).ok_or(ENOMEM)?,
            _class: class.clone(),
        })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // SAFETY: By the type invariant.
        unsafe { bindings::device_unregister(self.device.as_ptr()) };
    }
}

/// The cdev, what its files share, and what frees them.
///
/// # Invariants
///
/// - It is in a `KBox` of its own, which the release of `parent` frees.
/// - `cdev` has the table `Table<T, Inner<T>>`, the module of `T` as its owner, and `parent` as its
///   parent.
#[pin_data]
struct Inner<T: Operations> {
    #[pin]
    cdev: Opaque<bindings::cdev>,
    #[pin]
    parent: Opaque<bindings::kobject>,
    removed: Flag,
    shared: Arc<T::Shared>,
}

impl<T: Operations> Inner<T> {
    const PARENT_TYPE: &'static bindings::kobj_type = &bindings::kobj_type {
        release: Some(Self::free),
        ..pin_init::zeroed()
    };

    /// Makes one that is not in the system yet, with one reference to its `parent`.
    fn new(shared: Arc<T::Shared>) -> Result<NonNull<Self>> {
        let inner = KBox::pin_init(
            pin_init!(Self {
                cdev <- Opaque::ffi_init(|cdev| {
                    // SAFETY: There to be written; the table stays.
                    unsafe { bindings::cdev_init(cdev, Table::<T, Self>::TABLE) }
                }),
                parent <- Opaque::ffi_init(|parent: *mut bindings::kobject| {
                    // SAFETY: There to be written; the type stays. `kobject_init()` wants zeroes.
                    unsafe {
                        parent.write(pin_init::zeroed());
                        bindings::kobject_init(parent, Self::PARENT_TYPE);
                    }
                }),
                removed: Flag::new(false),
                shared,
            }),
            GFP_KERNEL,
        )?;
        let (cdev, parent) = (inner.cdev.get(), inner.parent.get());
        // SAFETY: Both were just initialised, and nobody else knows them.
        unsafe {
            (*cdev).owner = compat::this_module();
            bindings::cdev_set_parent(cdev, parent);
        }
        // INVARIANT: From here on it belongs to the references to `parent`.
        // SAFETY: It stays where it is until `free()` drops it.
        let inner = KBox::into_raw(unsafe { Pin::into_inner_unchecked(inner) });
        // SAFETY: A box is not null.
        Ok(unsafe { NonNull::new_unchecked(inner) })
    }

    /// # Safety
    ///
    /// Called by the kobject core, for the `parent` of one of these, when the last reference is
    /// gone.
    unsafe extern "C" fn free(parent: *mut bindings::kobject) {
        let parent = parent.cast::<Opaque<bindings::kobject>>();
        // SAFETY: By the function's contract.
        let inner = unsafe { container_of!(parent, Self, parent) };
        // SAFETY: By the type invariant it is in a `KBox`, and nobody refers to it any more: the cdev
        // had a reference to its parent, so it has gone, too.
        drop(unsafe { KBox::from_raw(inner) });
        release::done();
    }
}

impl<T: Operations> Home<T> for Inner<T> {
    unsafe fn shared(
        inode: *mut bindings::inode,
        _: *mut bindings::file,
    ) -> Result<Arc<T::Shared>> {
        // SAFETY: By the function's contract the file has the table of this type, so
        // `chrdev_open()` is opening it. It has a reference to the cdev of the inode.
        let cdev = unsafe { (*inode).__bindgen_anon_5.i_cdev };
        let cdev = cdev.cast::<Opaque<bindings::cdev>>();
        // SAFETY: Only an `Inner` has a cdev with that table, and the reference keeps it.
        let inner = unsafe { &*container_of!(cdev, Self, cdev) };
        // The inode remembers the cdev for as long as a file is open, also if it was removed.
        if inner.removed.get() {
            return Err(ENXIO);
        }
        Ok(inner.shared.clone())
    }
}

/// A cdev in the system.
///
/// # Invariants
///
/// The cdev was added, and not deleted yet; this holds a reference to its `parent`.
struct Cdev<T: Operations>(NonNull<Inner<T>>);

// SAFETY: Any task may delete a cdev, and drop what is shared, which is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Cdev<T> {}
// SAFETY: There is nothing to do with a shared reference to it.
unsafe impl<T: Operations> Sync for Cdev<T> {}

impl<T: Operations> Cdev<T> {
    fn add(number: &Number, shared: Arc<T::Shared>) -> Result<Self> {
        let inner = Inner::<T>::new(shared)?;
        // SAFETY: Just made, and we have its reference.
        let (cdev, parent) =
            unsafe { ((*inner.as_ptr()).cdev.get(), (*inner.as_ptr()).parent.get()) };
        // SAFETY: The cdev is initialised, and the number ours.
        let added = to_result(unsafe { bindings::cdev_add(cdev, number.as_raw(), 1) });
        if let Err(error) = added {
            // It has taken no reference, and nobody has seen it.
            release::expect();
            // SAFETY: We have the only one.
            unsafe { bindings::kobject_put(parent) };
            return Err(error);
        }
        // INVARIANT: Added, and with the reference that it was made with.
        Ok(Self(inner))
    }
}

impl<T: Operations> Drop for Cdev<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we have a reference.
        let inner = unsafe { self.0.as_ref() };
        inner.removed.set(true);
        let (cdev, parent) = (inner.cdev.get(), inner.parent.get());
        release::expect();
        // SAFETY: By the type invariant; nothing of it is used after the last line.
        unsafe {
            bindings::cdev_del(cdev);
            bindings::kobject_put(parent);
        }
    }
}

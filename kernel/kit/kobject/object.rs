// SPDX-License-Identifier: GPL-2.0

//! The object itself: how it comes, and how it goes.

use core::{ops::Deref, ptr};

use kernel::{
    bindings, container_of, device,
    error::to_result,
    prelude::*,
    static_lock_class,
    str::CString,
    sync::{
        aref::ARef,
        atomic::{Atomic, Full, Relaxed},
        Arc, Completion,
    },
    task::Task,
    types::Opaque,
};

use super::{
    attribute::{Attribute, Table},
    Object,
};
use crate::{flag::Flag, tails};

/// What an object can be below of.
pub trait Parent: Send + Sync + 'static + Sealed {}

/// `/sys/kernel`.
pub struct Kernel;

impl Parent for Kernel {}
/// A device. The object should go while it is bound: it goes from sysfs with the device's folder.
impl Parent for ARef<device::Device> {}
impl<T: Object, P: Parent> Parent for Arc<Registration<T, P>> {}

use sealed::Sealed;
mod sealed {
    pub trait Sealed {
        /// The parent's kobject, which is there as long as `self`.
        fn kobject(&self) -> *mut kernel::bindings::kobject;
    }
}

impl Sealed for Kernel {
    fn kobject(&self) -> *mut bindings::kobject {
        // SAFETY: Set at boot, before any module, and never again.
        unsafe { bindings::kernel_kobj }
    }
}

impl Sealed for ARef<device::Device> {
    fn kobject(&self) -> *mut bindings::kobject {
        let device: *const device::Device = &**self;
        // SAFETY: A `Device` is a `struct device` and nothing else, and there as long as `self`.
        unsafe { &raw mut (*device.cast_mut().cast::<bindings::device>()).kobj }
    }
}

impl<T: Object, P: Parent> Sealed for Arc<Registration<T, P>> {
    fn kobject(&self) -> *mut bindings::kobject {
        self.object.0.core.kobject.get()
    }
}

/// The kernel's part of an object.
///
/// # Invariants
///
/// `kobject` and `kset` are initialised and have [`release_kobject`] and [`release_kset`] for their
/// `release`.
#[pin_data]
struct Core {
    #[pin]
    kobject: Opaque<bindings::kobject>,
    #[pin]
    kset: Opaque<bindings::kset>,
    /// How many of the two are not released yet.
    live: Atomic<i32>,
    /// The task that drops the references that are ours, as an address to compare with.
    dropper: Atomic<usize>,
    released_elsewhere: Flag,
    #[pin]
    all_released: Completion,
}

impl Core {
    /// Initialises both, with one reference each.
    fn new(ktype: &'static bindings::kobj_type) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: Initialised by the kernel, with that type.
            kobject <- Opaque::ffi_init(move |slot: *mut bindings::kobject| {
                // SAFETY: `slot` is valid for writes; the type is static.
                unsafe {
                    slot.write_bytes(0, 1);
                    bindings::kobject_init(slot, ktype);
                }
            }),
            // INVARIANT: As `kset_init()` does, which modules cannot call.
            kset <- Opaque::ffi_init(|slot: *mut bindings::kset| {
                // SAFETY: `slot` is valid for writes and stays where it is; the type, the name of
                // the lock and its class are static. An empty list points to itself.
                unsafe {
                    slot.write_bytes(0, 1);
                    bindings::kobject_init(&raw mut (*slot).kobj, KSET_TYPE);
                    let list = &raw mut (*slot).list;
                    list.write(bindings::list_head { next: list, prev: list });
                    bindings::__spin_lock_init(
                        &raw mut (*slot).list_lock,
                        c"kit::kobject::kset".as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    );
                }
            }),
            live: Atomic::new(2),
            dropper: Atomic::new(0),
            released_elsewhere: Flag::new(false),
            all_released <- Completion::new(),
        })
    }

    /// The kobject of the kset.
    fn kset_kobject(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariant the kset is initialised.
        unsafe { &raw mut (*self.kset.get()).kobj }
    }

    /// Counts one of the two off. After the last one `self` may be gone.
    fn released(&self) {
        if self.dropper.load(Relaxed) != Task::current_raw() as usize {
            self.released_elsewhere.set(true);
        }
        // Fully ordered: who sees the 0 sees the flag.
        if self.live.fetch_sub(1, Full) == 1 {
            self.all_released.complete_all();
        }
    }

    /// Gives up both references, and waits until nobody has one any more.
    fn put_and_wait(&self) {
        // Only this task compares equal, so no order is needed.
        self.dropper.store(Task::current_raw() as usize, Relaxed);
        // SAFETY: By the type invariant they are initialised, and the first references are ours.
        unsafe {
            bindings::kobject_put(self.kobject.get());
            bindings::kobject_put(self.kset_kobject());
        }
        self.all_released.wait_for_completion();
        if self.released_elsewhere.get() {
            tails::wait();
        }
    }
}

/// # Safety
///
/// Called by the kernel for the kobject of a [`Core`] that is there until this has counted it off.
unsafe extern "C" fn release_kobject(kobject: *mut bindings::kobject) {
    // SAFETY: By the function's contract.
    unsafe { (*container_of!(Opaque::cast_from(kobject).cast_mut(), Core, kobject)).released() };
}

/// # Safety
///
/// Called by the kernel for the kobject of the kset of a [`Core`] that is there until this has
/// counted it off.
unsafe extern "C" fn release_kset(kobject: *mut bindings::kobject) {
    // SAFETY: By the function's contract.
    unsafe {
        let kset = container_of!(kobject, bindings::kset, kobj);
        (*container_of!(Opaque::cast_from(kset).cast_mut(), Core, kset)).released();
    }
}

const KSET_TYPE: &bindings::kobj_type = &bindings::kobj_type {
    release: Some(release_kset),
    ..pin_init::zeroed()
};

/// An object; it dereferences to its data.
#[pin_data]
pub struct Kobject<T: Object> {
    #[pin]
    core: Core,
    #[pin]
    data: T,
}

// SAFETY: A kobject is counted and locked by the kernel; the rest is the data.
unsafe impl<T: Object> Send for Kobject<T> {}
// SAFETY: As above.
unsafe impl<T: Object> Sync for Kobject<T> {}

impl<T: Object> Kobject<T> {
    const TYPE: &'static bindings::kobj_type = &bindings::kobj_type {
        release: Some(release_kobject),
        sysfs_ops: Table::<T>::OPERATIONS,
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `kobject` must be that of a `Kobject<T>`, which is there for `'a`.
    pub(super) unsafe fn from_c<'a>(kobject: *mut bindings::kobject) -> &'a Self {
        // SAFETY: By the function's contract.
        unsafe { &*container_of!(Opaque::cast_from(kobject).cast_mut(), Self, core.kobject) }
    }

    /// Tells user space that an attribute has a new value: wakes who polls it, and sends a uevent
    /// `change` with `ATTRIBUTE=` its name.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory for the event; the pollers know anyway.
    #[doc(alias = "kobject_uevent_env")]
    #[doc(alias = "sysfs_notify")]
    pub fn changed<A: Attribute<Object = T>>(&self) -> Result {
        let kobject = self.core.kobject.get();
        // SAFETY: The object is in sysfs: its attributes are only used while it is, and a
        // registration is made after and dropped before. The name is a string.
        unsafe { bindings::sysfs_notify(kobject, ptr::null(), A::NAME.as_char_ptr()) };
        let variable = CString::try_from_fmt(fmt!("ATTRIBUTE={}", A::NAME))?;
        let mut variables = [variable.as_char_ptr().cast_mut(), ptr::null_mut()];
        // SAFETY: As above; the variables end with a null pointer and are copied.
        to_result(unsafe {
            bindings::kobject_uevent_env(
                kobject,
                bindings::kobject_action_KOBJ_CHANGE,
                variables.as_mut_ptr(),
            )
        })
    }
}

impl<T: Object> Deref for Kobject<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// An object with the first references, which is not in sysfs (any more).
struct Owned<T: Object>(Pin<KBox<Kobject<T>>>);

impl<T: Object> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.core.put_and_wait();
    }
}

/// An object that is in sysfs until this is dropped.
///
/// # Invariants
///
/// `object` was added below `parent`, and not deleted yet.
pub struct Registration<T: Object, P: Parent = Kernel> {
    object: Owned<T>,
    // Last: the object above goes after the one below.
    _parent: P,
}

impl<T: Object, P: Parent> Registration<T, P> {
    /// Makes an object with all its attributes, and tells user space by a uevent `add` of
    /// `subsystem`.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name is taken (the kernel then also complains in its log), `ENOMEM`.
    #[doc(alias = "kobject_init_and_add")]
    pub fn new(
        parent: P,
        name: &CStr,
        subsystem: &CStr,
        data: impl PinInit<T, Error>,
    ) -> Result<Self> {
        let object = Owned(KBox::pin_init(
            try_pin_init!(Kobject {
                core <- Core::new(Kobject::<T>::TYPE),
                data <- data,
            }),
            GFP_KERNEL,
        )?);
        let core = &object.0.core;
        let kobject = core.kobject.get();
        // SAFETY: Both are initialised, and named by strings. The kset is set before the object is
        // added, and the parent is there.
        unsafe {
            let subsystem = subsystem.as_char_ptr();
            to_result(bindings::kobject_set_name(
                core.kset_kobject(),
                c"%s".as_char_ptr(),
                subsystem,
            ))?;
            (*kobject).kset = core.kset.get();
            to_result(bindings::kobject_add(
                kobject,
                parent.kobject(),
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            ))?;
        }
        // INVARIANT: Just added. From here on dropping it deletes it.
        let this = Self {
            object,
            _parent: parent,
        };
        this.announce()?;
        Ok(this)
    }

    /// Makes the attributes, and sends the event.
    fn announce(&self) -> Result {
        let kobject = self.object.0.core.kobject.get();
        for attribute in T::ATTRIBUTES {
            // SAFETY: The object was added, and is of the type of the attribute, which is static.
            to_result(unsafe {
                bindings::sysfs_create_file_ns(kobject, &attribute.0.attribute, ptr::null())
            })?;
        }
        // SAFETY: As above.
        to_result(unsafe {
            bindings::kobject_uevent_env(
                kobject,
                bindings::kobject_action_KOBJ_ADD,
                ptr::null_mut(),
            )
        })
    }
}

impl<T: Object, P: Parent> Deref for Registration<T, P> {
    type Target = Kobject<T>;

    fn deref(&self) -> &Kobject<T> {
        &self.object.0
    }
}

impl<T: Object, P: Parent> Drop for Registration<T, P> {
    #[doc(alias = "kobject_del")]
    fn drop(&mut self) {
        // SAFETY: By the type invariant. It sends the uevent `remove`, and waits for `show` and
        // `store`.
        unsafe { bindings::kobject_del(self.object.0.core.kobject.get()) };
    }
}

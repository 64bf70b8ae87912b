// SPDX-License-Identifier: GPL-2.0

//! A misc device: one minor of the major number that small devices share.
//!
//! The `kernel` crate's `MiscDevice::open` gets the registration and nothing else, so a driver with
//! more than one file has to keep what they share in a global, and to prove that it is initialised
//! before and not used after. Here it is beside the registration, and each file gets it when it is
//! opened; what a file does is [`file::Operations`](crate::file::Operations), as for any device.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use kernel::{bindings, container_of, error::to_result, prelude::*, sync::Arc, types::Opaque};

use crate::file::{Home, Operations, Table};

/// A misc device that is in the system until dropped. The node's mode is 0600.
///
/// # Invariants
///
/// `misc` is registered, with the table `Table<T, Self>`.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Operations> {
    #[pin]
    misc: Opaque<bindings::miscdevice>,
    shared: Arc<T::Shared>,
}

// SAFETY: Any task may deregister a misc device; what is shared is `Send` and `Sync`.
unsafe impl<T: Operations> Send for Registration<T> {}
// SAFETY: There is nothing to do with a shared reference to it.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers the device; it may be opened before this returns.
    #[doc(alias = "misc_register")]
    pub fn register(name: &'static CStr, shared: Arc<T::Shared>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Before `misc`: fields are initialised in this order, and whoever opens the device
            // wants it.
            shared: shared,
            // INVARIANT: If this succeeds.
            misc <- Opaque::try_ffi_init(|slot: *mut bindings::miscdevice| {
                let misc = bindings::miscdevice {
                    minor: bindings::MISC_DYNAMIC_MINOR as c_int,
                    name: name.as_char_ptr(),
                    fops: Table::<T, Self>::TABLE,
                    ..pin_init::zeroed()
                };
                // SAFETY: The slot is there to be written, and pinned; the device is deregistered
                // before it goes. The name and the table stay.
                to_result(unsafe {
                    slot.write(misc);
                    bindings::misc_register(slot)
                })
            }),
        })
    }
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. After that nobody opens the device any more.
        unsafe { bindings::misc_deregister(self.misc.get()) };
    }
}

impl<T: Operations> Home<T> for Registration<T> {
    unsafe fn shared(_: *mut bindings::inode, file: *mut bindings::file) -> Result<Arc<T::Shared>> {
        // SAFETY: By the function's contract the file has the table of this type. Only
        // `Registration` registers that, and `misc_open()` has put the misc device into the private
        // data.
        let misc = unsafe { (*file).private_data }.cast::<Opaque<bindings::miscdevice>>();
        // SAFETY: As above. `shared` was initialised before, and `misc_open()` holds the lock
        // without which no device is deregistered, so all of it is alive.
        Ok(unsafe { (*container_of!(misc, Self, misc)).shared.clone() })
    }
}

// SPDX-License-Identifier: GPL-2.0

//! A misc device whose open files share something with the module.
//!
//! The `kernel` crate's `MiscDevice::open` gets the registration and nothing else, so a driver with
//! more than one file has to keep what they share in a global, and to prove that it is initialised
//! before and not used after. Here it is beside the registration, and each file gets it when it is
//! opened.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use kernel::{
    container_of,
    fs::File,
    miscdevice::{MiscDevice, MiscDeviceOptions, MiscDeviceRegistration},
    module::ModuleMetadata,
    prelude::*,
    sync::Arc,
};

/// An open file of a misc device.
pub trait SharedMisc: Send + Sync + Sized + 'static {
    /// What all files share with the module.
    type Shared: Send + Sync + 'static;
    /// The module that cannot be unloaded while a file is open.
    type OwnerModule: ModuleMetadata;

    /// Called when the device is opened; dropped when the file is closed.
    fn open(shared: Arc<Self::Shared>) -> impl PinInit<Self, Error>;

    /// An ioctl on the file; by several tasks at a time.
    fn ioctl(&self, command: u32, argument: usize) -> Result<isize>;
}

/// A misc device that is in the system until dropped. The node's mode is 0600.
#[pin_data]
pub struct Registration<T: SharedMisc> {
    // First, so that nobody opens the device any more when the rest goes.
    #[pin]
    misc: MiscDeviceRegistration<OpenFile<T>>,
    shared: Arc<T::Shared>,
}

impl<T: SharedMisc> Registration<T> {
    /// Registers the device; it may be opened before this returns.
    pub fn register(name: &'static CStr, shared: Arc<T::Shared>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // Before `misc`: fields are initialised in this order, and whoever opens the device
            // wants it.
            shared: shared,
            misc <- MiscDeviceRegistration::register(MiscDeviceOptions { name }),
        })
    }
}

/// The private data of an open file: the driver's.
///
/// A type that only this file can name, so that a registration with it is always part of a
/// [`Registration`].
#[pin_data]
struct OpenFile<T: SharedMisc> {
    #[pin]
    file: T,
}

#[vtable]
impl<T: SharedMisc> MiscDevice for OpenFile<T> {
    type OwnerModule = T::OwnerModule;
    type Ptr = Pin<KBox<Self>>;

    fn open(_: &File, misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        let misc: *const MiscDeviceRegistration<Self> = misc;
        // SAFETY: Only this file can name `OpenFile`, and registers it only as a field of a
        // `Registration`, whose `shared` was initialised first. `misc_open()` keeps it registered,
        // and so alive, during this call.
        let shared = unsafe { (*container_of!(misc, Registration<T>, misc)).shared.clone() };
        KBox::try_pin_init(
            try_pin_init!(Self {
                file <- T::open(shared),
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(this: Pin<&Self>, _: &File, command: u32, argument: usize) -> Result<isize> {
        this.get_ref().file.ioctl(command, argument)
    }
}

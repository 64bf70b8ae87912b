// SPDX-License-Identifier: GPL-2.0

//! A driver of virtio devices, and its registration with the virtio core.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use core::{marker::PhantomData, ptr::NonNull};

use kernel::{
    container_of,
    error::{from_result, to_result},
    prelude::*,
    sync::ArcBorrow,
    types::Opaque,
};
use kit_bindings as virtio;

use super::{bound::Bound, feature, Device, Ids, Setup};
use crate::{compat, errno::EOPNOTSUPP};

/// A driver: a value of this type is one device that it is bound to.
pub trait Driver: Send + Sync + Sized + 'static {
    /// What all devices share, such as a major number.
    type Shared: Send + Sync + 'static;

    /// Its name below `/sys/bus/virtio/drivers`.
    const NAME: &'static CStr;
    /// The devices that it is for, by [`virtio_device_table!`](crate::virtio_device_table).
    const IDS: Ids;
    /// The features of these devices that it supports, by number.
    const FEATURES: &'static [u32];
    /// Whether its queues are alike, and their interrupts to be spread over the CPUs.
    const PER_CPU: bool = false;

    /// Of these features, which the device offers and [`Self::FEATURES`] has, those that the driver
    /// wants: not all, say, if its user has refused some.
    fn wanted(offered: u64) -> u64 {
        offered
    }

    /// A device has appeared. Reads its configuration, makes its queues, and the value for it.
    ///
    /// The queues get to work only after this. An error leaves the device alone.
    fn probe(setup: &mut Setup<'_, Self>) -> Result<impl PinInit<Self, Error>>;

    /// The device is ready, and its queues work. Now is the time to let user space in. An error
    /// stops the queues again, and [`Self::remove`] is not called.
    fn start(_this: ArcBorrow<'_, Self>, _device: &Device<'_, Self>) -> Result {
        Ok(())
    }

    /// The device is about to go. After this its queues are stopped, and what is in them comes back
    /// ([`Handler::back`](super::Handler::back)); if the device was pulled out, that has happened
    /// before.
    ///
    /// So whoever uses the device must be told to stop here, or cope with queues that refuse
    /// everything: references to them may outlive the device.
    fn remove(_this: ArcBorrow<'_, Self>) {}

    /// The device has changed its configuration. In process context.
    ///
    /// It may wait for a chain: a device that breaks meanwhile has its queues stopped all the same.
    /// One that just never answers holds up the removal, which waits for this.
    fn config_changed(_this: ArcBorrow<'_, Self>, _device: &Device<'_, Self>) {}
}

/// A driver that is registered until this is dropped, which unbinds all its devices.
///
/// # Invariants
///
/// `driver` is registered, and its functions are those of [`Table<T>`].
#[pin_data(PinnedDrop)]
pub struct Registration<T: Driver> {
    #[pin]
    driver: Opaque<virtio::virtio_driver>,
    shared: T::Shared,
}

// SAFETY: Any task may unregister a driver; what is shared is `Send` and `Sync`.
unsafe impl<T: Driver> Send for Registration<T> {}
// SAFETY: There is nothing to do with a shared reference to it, save for what is `Sync`.
unsafe impl<T: Driver> Sync for Registration<T> {}

impl<T: Driver> Registration<T> {
    /// Registers the driver. Devices that are there without a driver are probed before this
    /// returns.
    #[doc(alias = "register_virtio_driver")]
    pub fn register(shared: T::Shared) -> impl PinInit<Self, Error> {
        const {
            assert!(
                feature::are_of_the_device(T::FEATURES),
                "a driver supports features of the device, not of the transport"
            )
        };
        try_pin_init!(Self {
            // Before `driver`: fields are initialised in this order, and a probe wants it.
            shared,
            // INVARIANT: If this succeeds.
            driver <- Opaque::try_ffi_init(|slot: *mut virtio::virtio_driver| {
                // SAFETY: The slot is there to be written, and pinned; the driver is unregistered
                // before it goes, and so does the module whose tables it names.
                to_result(unsafe {
                    slot.write(Table::<T>::driver());
                    virtio::__register_virtio_driver(slot, compat::this_module())
                })
            }),
        })
    }
}

impl<T: Driver> Registration<T> {
    /// What the devices of a device's driver share.
    ///
    /// # Safety
    ///
    /// `device` must be one that is bound, or being bound, to a driver that is a registration of
    /// this type.
    pub(super) unsafe fn shared_of(device: NonNull<virtio::virtio_device>) -> *const T::Shared {
        // SAFETY: By the function's contract the device and its driver are there, and the driver is
        // where the pointers say. (It is initialised: nothing of it but the driver itself is
        // written when that is registered.)
        unsafe {
            let driver =
                container_of!((*device.as_ptr()).dev.driver, virtio::virtio_driver, driver);
            let driver = driver.cast::<Opaque<virtio::virtio_driver>>();
            &raw const (*container_of!(driver, Self, driver)).shared
        }
    }
}

#[pinned_drop]
impl<T: Driver> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. It removes the driver from each of its devices.
        unsafe { virtio::unregister_virtio_driver(self.driver.get()) };
    }
}

/// The functions that the core calls.
struct Table<T: Driver>(PhantomData<T>);

impl<T: Driver> Table<T> {
    fn driver() -> virtio::virtio_driver {
        let mut driver: virtio::virtio_driver = pin_init::zeroed();
        driver.driver.name = T::NAME.as_char_ptr();
        driver.id_table = T::IDS.as_ptr();
        driver.feature_table = T::FEATURES.as_ptr();
        driver.feature_table_size = T::FEATURES.len() as u32;
        driver.validate = Some(Self::validate);
        driver.probe = Some(Self::probe);
        driver.remove = Some(Self::remove);
        driver.config_changed = Some(Self::config_changed);
        // Without these two the core takes a driver for one that need not do anything; it would
        // reset the device, and what is in its queues would never come back.
        driver.freeze = Some(Self::refuse);
        driver.reset_prepare = Some(Self::refuse);
        driver
    }

    /// # Safety
    ///
    /// Called by the core, with a device that is about to be probed, while the features to be agreed
    /// on can be changed.
    unsafe extern "C" fn validate(device: *mut virtio::virtio_device) -> c_int {
        // SAFETY: By the function's contract, this is the only use of them, and they are a number
        // either way that the union is read.
        let features = unsafe { (*device).__bindgen_anon_1.features.as_mut() };
        let ours = feature::mask(T::FEATURES);
        *features &= T::wanted(*features & ours) | !ours;
        0
    }

    /// # Safety
    ///
    /// Called by the core, with a device that it has just given this driver.
    unsafe extern "C" fn probe(device: *mut virtio::virtio_device) -> c_int {
        from_result(|| {
            let device = NonNull::new(device).ok_or(EINVAL)?;
            // SAFETY: By the function's contract.
            unsafe { Bound::<T>::bind(device)? };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by the core, with a device that [`Self::probe`] succeeded for.
    unsafe extern "C" fn remove(device: *mut virtio::virtio_device) {
        if let Some(device) = NonNull::new(device) {
            // SAFETY: By the function's contract.
            unsafe { Bound::<T>::unbind(device) };
        }
    }

    /// # Safety
    ///
    /// Called by the core, with a device that [`Self::probe`] succeeded for.
    unsafe extern "C" fn config_changed(device: *mut virtio::virtio_device) {
        if let Some(device) = NonNull::new(device) {
            // SAFETY: By the function's contract.
            unsafe { Bound::<T>::config_changed(device) };
        }
    }

    /// Refuses to let the system sleep, or the transport reset the device.
    extern "C" fn refuse(_: *mut virtio::virtio_device) -> c_int {
        EOPNOTSUPP.to_errno()
    }
}

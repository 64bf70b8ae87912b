// SPDX-License-Identifier: GPL-2.0

//! A device as its driver sees it: while it is set up, and later.
//!
//! C header: [`include/linux/virtio.h`](srctree/include/linux/virtio.h)

use core::{marker::PhantomData, ops::Deref, ptr::NonNull};

use kernel::{device, fmt, prelude::*, str::CString, sync::Arc};
use kit_bindings as virtio;

use super::{
    bound::Bound,
    link::AnyQueue,
    Config,
    CpuMap,
    Driver,
    Features,
    Handler,
    Queue,
    Registration, //
};

/// A device that is bound to a driver during `'a`.
///
/// # Invariants
///
/// `raw` is there, and bound to a [`Registration<T>`](super::Registration), during `'a`.
pub struct Device<'a, T: Driver> {
    raw: NonNull<virtio::virtio_device>,
    _during: PhantomData<&'a ()>,
    _driver: PhantomData<fn() -> T>,
}

impl<'a, T: Driver> Device<'a, T> {
    /// # Safety
    ///
    /// As the type's invariants say.
    pub(super) unsafe fn new(raw: NonNull<virtio::virtio_device>) -> Self {
        // INVARIANT: By the function's contract.
        Self {
            raw,
            _during: PhantomData,
            _driver: PhantomData,
        }
    }

    pub(super) fn as_ptr(&self) -> *mut virtio::virtio_device {
        self.raw.as_ptr()
    }

    /// The device for the driver core: for messages, and as a parent.
    pub fn dev(&self) -> &device::Device<device::Bound> {
        // SAFETY: By the type invariant it is there, and bound, for longer than `self`.
        unsafe { device::Device::from_raw(&raw mut (*self.raw.as_ptr()).dev) }
    }

    /// What the driver's devices share.
    pub fn shared(&self) -> &'a T::Shared {
        // SAFETY: By the type invariant its driver is that of a registration of this type, which
        // unbinds the device before it goes.
        unsafe { &*Registration::<T>::shared_of(self.raw) }
    }

    fn feature_bits(&self) -> u64 {
        // SAFETY: By the type invariant. They do not change once the device is being probed, and
        // are a number either way that the union is read.
        unsafe { *(*self.raw.as_ptr()).__bindgen_anon_1.features.as_ref() }
    }

    /// Whether it is a device of version 1 of the specification, or later.
    pub(super) fn is_modern(&self) -> bool {
        self.feature_bits() & (1 << virtio::VIRTIO_F_VERSION_1) != 0
    }

    /// What was agreed on.
    pub fn features(&self) -> Features<T> {
        Features::new(self.feature_bits())
    }

    /// Its configuration space.
    pub fn config(&self) -> Config<'_, T> {
        Config::new(self)
    }

    /// Which queue each CPU is to use: the one whose interrupt it gets, where the transport has
    /// spread these.
    ///
    /// `EINVAL` for a driver whose queues are not alike ([`Driver::PER_CPU`]), and before
    /// [`Driver::start`].
    #[doc(alias = "get_vq_affinity")]
    pub fn cpu_map(&self) -> Result<CpuMap> {
        // SAFETY: By the type invariant.
        unsafe { Bound::<T>::cpu_map(self.raw) }
    }
}

/// A device that is being set up: its configuration can be read, and its queues are made.
pub struct Setup<'a, T: Driver> {
    device: Device<'a, T>,
    queues: KVec<Arc<dyn AnyQueue>>,
}

impl<'a, T: Driver> Setup<'a, T> {
    /// # Safety
    ///
    /// As for [`Device`].
    pub(super) unsafe fn new(raw: NonNull<virtio::virtio_device>) -> Self {
        Self {
            // SAFETY: By the function's contract.
            device: unsafe { Device::new(raw) },
            queues: KVec::new(),
        }
    }

    /// Makes the next queue, counted from 0, for chains of up to `max_pieces` pieces of memory.
    ///
    /// A queue cannot be left out: the specification numbers them, and a driver makes those up to
    /// the last one that it uses. The name is for `/proc/interrupts` and for messages.
    pub fn queue<H: Handler>(
        &mut self,
        name: fmt::Arguments<'_>,
        max_pieces: usize,
        state: H::State,
        handler: impl PinInit<H, Error>,
    ) -> Result<Arc<Queue<H>>> {
        let name = CString::try_from_fmt(name)?;
        let queue = Queue::new(name, max_pieces, state, handler)?;
        self.queues.push(queue.clone(), GFP_KERNEL)?;
        Ok(queue)
    }

    pub(super) fn into_queues(self) -> KVec<Arc<dyn AnyQueue>> {
        self.queues
    }
}

impl<'a, T: Driver> Deref for Setup<'a, T> {
    type Target = Device<'a, T>;

    fn deref(&self) -> &Device<'a, T> {
        &self.device
    }
}

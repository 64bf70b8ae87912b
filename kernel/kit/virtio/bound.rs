// SPDX-License-Identifier: GPL-2.0

//! A device that is bound to a driver: how it starts, and how it ends.
//!
//! C header: [`include/linux/virtio_config.h`](srctree/include/linux/virtio_config.h)

use core::ptr::NonNull;

use kernel::{
    bindings,
    error::to_result,
    new_mutex,
    prelude::*,
    static_lock_class,
    sync::{Arc, Mutex},
    types::ForeignOwnable,
};
use kit_bindings as virtio;

use super::{
    link::{AnyQueue, Connection, Watch},
    CpuMap, Device, Driver, Setup,
};
use crate::{
    delayed::{Delayed, Expired},
    rcu_cell::wait_for_readers,
};

/// A device, its queues, and the driver's value for it.
///
/// # Invariants
///
/// `device` is bound to a [`Registration<T>`](super::Registration) as long as this exists.
#[pin_data]
pub(super) struct Bound<T: Driver> {
    device: NonNull<virtio::virtio_device>,
    queues: KVec<Arc<dyn AnyQueue>>,
    driver: Arc<T>,
    #[pin]
    changes: Delayed<Changes<T>>,
    /// Which queue each CPU is to use, once the virtqueues are found.
    #[pin]
    cpus: Mutex<Option<CpuMap>>,
    /// Whether the queues are stopped.
    #[pin]
    stopped: Mutex<bool>,
}

// SAFETY: A device may be used by any task while it is bound; the rest is `Send` and `Sync`.
unsafe impl<T: Driver> Send for Bound<T> {}
// SAFETY: As above.
unsafe impl<T: Driver> Sync for Bound<T> {}

/// How a bound device is kept: in a box that its `priv` points to. The delayed call is the one that
/// stops its queues when the core has given up on one.
pub(super) type Kept<T> = Delayed<Bound<T>>;

/// Tells the driver in a delayed call that the configuration has changed.
///
/// It is a call of its own: a driver that is told may wait for a chain, and if the device breaks
/// meanwhile, only stopping the queues gives that back.
///
/// # Invariants
///
/// As those of [`Bound`].
struct Changes<T: Driver> {
    device: NonNull<virtio::virtio_device>,
    driver: Arc<T>,
}

// SAFETY: As for `Bound`.
unsafe impl<T: Driver> Send for Changes<T> {}
// SAFETY: As for `Bound`.
unsafe impl<T: Driver> Sync for Changes<T> {}

impl<T: Driver> Bound<T> {
    /// Binds a device: probes it, connects its queues, and lets the driver start.
    ///
    /// # Safety
    ///
    /// Called by the core to probe `device`, for a driver that is a
    /// [`Registration<T>`](super::Registration).
    pub(super) unsafe fn bind(device: NonNull<virtio::virtio_device>) -> Result {
        // SAFETY: The device is there. What the driver before us may have left in it is gone: no
        // callback shall find it.
        unsafe { (*device.as_ptr()).priv_ = core::ptr::null_mut() };
        // SAFETY: By the function's contract, the device is bound during this call.
        let mut setup = unsafe { Setup::<T>::new(device) };
        if !setup.is_modern() {
            dev_err!(setup.dev(), "legacy devices are not supported\n");
            return Err(ENODEV);
        }
        let driver = Arc::pin_init(T::probe(&mut setup)?, GFP_KERNEL)?;
        let raw = Self::keep(device, setup.into_queues(), driver)?.into_foreign();
        // SAFETY: It is kept until it is taken back, below or in `unbind()`. There are no more than
        // shared references meanwhile, as callbacks have some, too.
        let kept = unsafe { &*raw.cast::<Kept<T>>() };
        // From here on a callback finds the queues, which are not connected.
        // SAFETY: The device is there.
        unsafe { (*device.as_ptr()).priv_ = raw };
        let started = Self::connect(kept).and_then(|()| {
            T::start(kept.driver.as_arc_borrow(), &kept.device()).inspect_err(|_| Self::end(kept))
        });
        if started.is_err() {
            // SAFETY: From `into_foreign()`. There is no virtqueue: either the core has found none,
            // and has then freed the interrupts that it had asked for, which waits for handlers;
            // or `end()` has deleted them. So no callback comes or runs, and nobody has a reference.
            unsafe { Self::forget(device) };
        }
        started
    }

    fn keep(
        device: NonNull<virtio::virtio_device>,
        queues: KVec<Arc<dyn AnyQueue>>,
        driver: Arc<T>,
    ) -> Result<Pin<KBox<Kept<T>>>> {
        // INVARIANT: The device is being bound.
        let changes = Ok(Changes {
            device,
            driver: driver.clone(),
        });
        let class = (static_lock_class!(), static_lock_class!());
        let changes = Delayed::new::<Error>(c"kit_virtio_config", class.0, class.1, changes);
        let bound = try_pin_init!(Self {
            // INVARIANT: It is being bound.
            device,
            queues,
            driver,
            changes <- changes,
            cpus <- new_mutex!(None, "Bound::cpus"),
            stopped <- new_mutex!(false, "Bound::stopped"),
        });
        let class = (static_lock_class!(), static_lock_class!());
        let kept = Delayed::new::<Error>(c"kit_virtio", class.0, class.1, bound);
        KBox::pin_init(kept, GFP_KERNEL)
    }

    /// Unbinds a device.
    ///
    /// # Safety
    ///
    /// Called by the core to remove `device`, for which [`Self::bind`] of this type succeeded.
    pub(super) unsafe fn unbind(device: NonNull<virtio::virtio_device>) {
        // SAFETY: `bind()` has left it there, and it is kept until the end of this function.
        let kept = unsafe { &*(*device.as_ptr()).priv_.cast::<Kept<T>>() };
        // If the device has gone already, or has made a mess, whatever is in the queues must come
        // back first: the driver may wait for it, also where it is told of a change. The call that
        // does so is waited for if it runs, and not needed if it does not.
        kept.cancel();
        if kept.queues.iter().any(|queue| queue.is_broken()) {
            kept.stop();
        }
        // The core has seen to it that no change of the configuration is told any more.
        kept.changes.cancel();
        T::remove(kept.driver.as_arc_borrow());
        Self::end(kept);
        // SAFETY: As in `bind()`.
        unsafe { Self::forget(device) };
    }

    /// Takes back what `priv` points to, and drops it.
    ///
    /// # Safety
    ///
    /// It must point to what [`Self::keep`] made, of this type, to which nobody has a reference.
    unsafe fn forget(device: NonNull<virtio::virtio_device>) {
        // SAFETY: By the function's contract.
        unsafe {
            let raw = core::mem::replace(&mut (*device.as_ptr()).priv_, core::ptr::null_mut());
            drop(Pin::<KBox<Kept<T>>>::from_foreign(raw));
        }
    }

    /// See [`Device::cpu_map`].
    ///
    /// # Safety
    ///
    /// `device` must be bound, or being bound, to a driver that is a registration of this type.
    pub(super) unsafe fn cpu_map(device: NonNull<virtio::virtio_device>) -> Result<CpuMap> {
        // SAFETY: By the function's contract; while a device is bound `priv` is null or points to
        // what is kept.
        let kept = unsafe { (*device.as_ptr()).priv_.cast::<Kept<T>>().as_ref() };
        let cpus = kept.ok_or(EINVAL)?.cpus.lock();
        cpus.as_ref().ok_or(EINVAL)?.try_clone()
    }

    /// The device, for the driver.
    fn device(&self) -> Device<'_, T> {
        // SAFETY: By the type invariant.
        unsafe { Device::new(self.device) }
    }

    /// Finds the virtqueues, connects the queues to them, and tells the device that all is ready. If
    /// that fails, there are none.
    fn connect(kept: &Kept<T>) -> Result {
        let virtqueues = kept.find()?;
        Self::connect_to(kept, virtqueues).inspect_err(|_| Self::end(kept))
    }

    /// As [`Self::connect`], with virtqueues that are left to the caller if it fails.
    fn connect_to(kept: &Kept<T>, virtqueues: KVec<*mut virtio::virtqueue>) -> Result {
        if T::PER_CPU {
            // SAFETY: They were found, as many as there are queues.
            *kept.cpus.lock() = Some(unsafe { CpuMap::of(kept.device, kept.queues.len())? });
        }
        let watch: NonNull<dyn Watch> = NonNull::from(kept);
        let device = kept.device.as_ptr();
        // SAFETY: By the type invariant.
        let max_len = unsafe { virtio::virtio_max_dma_size(device) };
        for (queue, virtqueue) in kept.queues.iter().zip(virtqueues) {
            let virtqueue = NonNull::new(virtqueue).ok_or(ENOENT)?;
            // SAFETY: The virtqueue is new, and only this queue is given it. It is deleted in
            // `end()`, after the queue was drained. The watch is kept for longer.
            unsafe { queue.connect(Connection::new(virtqueue, watch), max_len) };
        }
        // SAFETY: By the type invariant; during the probe, once.
        unsafe { virtio::virtio_device_ready(device) };
        Ok(())
    }

    /// Finds as many virtqueues as there are queues. If that fails, there are none.
    fn find(&self) -> Result<KVec<*mut virtio::virtqueue>> {
        let count = self.queues.len();
        let mut found = KVec::from_elem(core::ptr::null_mut(), count, GFP_KERNEL)?;
        let mut infos = KVec::with_capacity(count, GFP_KERNEL)?;
        for queue in &self.queues {
            let info = virtio::virtqueue_info {
                // The queue is there for longer than its virtqueue.
                name: queue.name().as_char_ptr(),
                callback: Some(Self::callback),
                ctx: false,
            };
            infos.push(info, GFP_KERNEL)?;
        }
        if count == 0 {
            return Ok(found);
        }
        let mut spread: bindings::irq_affinity = pin_init::zeroed();
        let spread = if T::PER_CPU {
            &raw mut spread
        } else {
            core::ptr::null_mut()
        };
        // SAFETY: By the type invariant the device is there. Both arrays have this many elements,
        // and what is spread is there during the call.
        to_result(unsafe {
            virtio::virtio_find_vqs(
                self.device.as_ptr(),
                count as u32,
                found.as_mut_ptr(),
                infos.as_mut_ptr(),
                spread,
            )
        })?;
        Ok(found)
    }

    /// The device has used what was in a virtqueue.
    ///
    /// # Safety
    ///
    /// Called by the core, for a virtqueue that [`Self::find`] found.
    unsafe extern "C" fn callback(virtqueue: *mut virtio::virtqueue) {
        // SAFETY: By the function's contract the virtqueue and its device are there. `priv` was set
        // before the virtqueues were found, and what it points to is kept until they are deleted,
        // which waits for this function.
        let (kept, index) = unsafe {
            let device = (*virtqueue).vdev;
            (
                (*device).priv_.cast::<Kept<T>>().as_ref(),
                (*virtqueue).index,
            )
        };
        // All of them have a name, so they are numbered in order.
        if let Some(queue) = kept.and_then(|kept| kept.queues.get(index as usize)) {
            queue.notified();
        }
    }

    /// The configuration has changed.
    ///
    /// # Safety
    ///
    /// Called by the core, in any context but an NMI, for a device for which [`Self::bind`] of this
    /// type succeeded.
    pub(super) unsafe fn config_changed(device: NonNull<virtio::virtio_device>) {
        // SAFETY: By the function's contract; `unbind()` is called after the core has ended this.
        if let Some(kept) = unsafe { (*device.as_ptr()).priv_.cast::<Kept<T>>().as_ref() } {
            kept.changes.schedule(0);
        }
    }

    /// Stops the queues, and has each chain that is in them come back. Once; later calls wait until
    /// that is done. Says whether it was this call.
    fn stop(&self) -> bool {
        let mut stopped = self.stopped.lock();
        if core::mem::replace(&mut *stopped, true) {
            return false;
        }
        for queue in &self.queues {
            queue.disconnect();
        }
        // Nobody adds or takes any more. Those who just notify the device do so under the RCU read
        // lock.
        wait_for_readers();
        // SAFETY: By the type invariant. Nobody uses the virtqueues, as the core wants it; it waits
        // for callbacks.
        unsafe { virtio::virtio_reset_device(self.device.as_ptr()) };
        for queue in &self.queues {
            // SAFETY: It was disconnected, and the device reset after that.
            unsafe { queue.drain() };
            queue.stopped();
        }
        true
    }

    /// Stops, and deletes the virtqueues.
    fn end(kept: &Kept<T>) {
        kept.stop();
        // A queue that found its device broken may have asked for a call.
        kept.cancel();
        let device = kept.device.as_ptr();
        // The queues may have been stopped long ago, and then the device may have been started
        // since: the core does that after a probe during which it was reset. It wants it reset now.
        // SAFETY: By the type invariant. The queues are idle, so nobody uses a virtqueue.
        unsafe { virtio::virtio_reset_device(device) };
        // Without virtqueues a transport may have nothing to give back, and not look.
        if kept.queues.is_empty() {
            return;
        }
        // SAFETY: The device is there, and its operations for as long. The virtqueues were found,
        // and nobody uses them, as above. Callbacks that a device might still ask for are over when
        // this returns.
        unsafe {
            if let Some(del_vqs) = (*(*device).config).del_vqs {
                del_vqs(device);
            }
        }
    }
}

impl<T: Driver> Watch for Kept<T> {
    fn broken(&self) {
        self.schedule(0);
    }
}

impl<T: Driver> Expired for Bound<T> {
    fn expired(this: &Kept<T>) {
        // More than one may have found it broken.
        if this.stop() {
            let device = this.device();
            dev_err!(
                device.dev(),
                "the device is broken: its queues are stopped\n"
            );
        }
    }
}

impl<T: Driver> Expired for Changes<T> {
    fn expired(this: &Delayed<Self>) {
        // SAFETY: By the type invariant.
        let device = unsafe { Device::new(this.device) };
        T::config_changed(this.driver.as_arc_borrow(), &device);
    }
}

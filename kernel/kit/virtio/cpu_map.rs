// SPDX-License-Identifier: GPL-2.0

//! Which of several queues that are alike a CPU uses.

use core::ptr::NonNull;

use kernel::{
    bindings,
    cpu::{nr_cpu_ids, CpuId},
    cpumask::Cpumask,
    prelude::*,
};
use kit_bindings as virtio;

/// A queue's number for each CPU.
pub struct CpuMap(KVec<u16>);

impl CpuMap {
    /// A map that deals `queues` queues out to the CPUs in turn.
    fn dealt(queues: usize) -> Result<Self> {
        let queues = u16::try_from(queues).map_err(|_| EINVAL)?.max(1);
        let mut map = KVec::with_capacity(nr_cpu_ids() as usize, GFP_KERNEL)?;
        for cpu in 0..nr_cpu_ids() {
            map.push((cpu % u32::from(queues)) as u16, GFP_KERNEL)?;
        }
        Ok(Self(map))
    }

    /// A map by the interrupts of a device's queues, as far as the transport has spread them.
    ///
    /// # Safety
    ///
    /// The device must be there, with at least as many virtqueues, which are not deleted meanwhile.
    pub(super) unsafe fn of(device: NonNull<virtio::virtio_device>, queues: usize) -> Result<Self> {
        let mut map = Self::dealt(queues)?;
        // SAFETY: By the function's contract; its transport's operations are there for longer.
        let Some(affinity) = (unsafe { (*(*device.as_ptr()).config).get_vq_affinity }) else {
            return Ok(map);
        };
        for queue in 0..queues {
            // SAFETY: By the function's contract, there is this queue; in process context.
            let mask = unsafe { affinity(device.as_ptr(), queue as c_int) };
            if mask.is_null() {
                continue;
            }
            // SAFETY: It is the interrupt's, which is there as long as the virtqueue. It may be
            // changed meanwhile, by atomic operations on words, which testing a bit copes with.
            let mask = unsafe { Cpumask::from_raw(mask.cast()) };
            for (cpu, place) in map.0.iter_mut().enumerate() {
                if CpuId::from_u32(cpu as u32).is_some_and(|cpu| mask.test(cpu)) {
                    *place = queue as u16;
                }
            }
        }
        Ok(map)
    }

    pub(super) fn try_clone(&self) -> Result<Self> {
        let mut map = KVec::with_capacity(self.0.len(), GFP_KERNEL)?;
        map.extend_from_slice(&self.0, GFP_KERNEL)?;
        Ok(Self(map))
    }

    /// The queue for the CPU that this runs on. It may be another CPU's by the time it is used,
    /// which costs a little and harms nobody.
    #[inline]
    pub fn here(&self) -> usize {
        // SAFETY: Reading the number of the CPU has no precondition.
        let cpu = unsafe { bindings::raw_smp_processor_id() };
        self.0.get(cpu as usize).copied().unwrap_or(0).into()
    }
}

// SPDX-License-Identifier: GPL-2.0

//! Which of several queues that are alike a CPU uses.

use kernel::{bindings, prelude::*};

/// A queue's number for each CPU.
pub struct CpuMap(KVec<u16>);

impl CpuMap {
    /// A map that deals `queues` queues out to the CPUs in turn.
    pub(super) fn new(cpus: usize, queues: usize) -> Result<Self> {
        let queues = u16::try_from(queues).map_err(|_| EINVAL)?;
        let mut map = KVec::with_capacity(cpus, GFP_KERNEL)?;
        for cpu in 0..cpus {
            map.push((cpu % usize::from(queues.max(1))) as u16, GFP_KERNEL)?;
        }
        Ok(Self(map))
    }

    pub(super) fn set(&mut self, cpu: usize, queue: usize) {
        if let Some(entry) = self.0.get_mut(cpu) {
            *entry = queue as u16;
        }
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

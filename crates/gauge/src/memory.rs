// SPDX-License-Identifier: MIT OR Apache-2.0
//! Free memory, exactly enough to see what a disk takes beside its data.

use std::fs;
use std::io;

const PAGE: i64 = 4096;
/// Of linux/membarrier.h: the kernel answers it with `synchronize_rcu()`.
const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;

/// Where each of the slab allocator's caches has its knobs.
const SLABS: &str = "/sys/kernel/slab";

/// Bytes of free memory, once caches are dropped and what was to be freed by RCU has come back.
///
/// `MemFree` will not do: it leaves out the pages on the allocator's per-CPU lists, which may be tens of MiB. Nor may the
/// slab allocator keep what objects of an earlier disk have left: a new one would take its own from there, and seem to
/// take none.
pub fn free() -> io::Result<i64> {
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    let mut last = i64::MIN;
    loop {
        grace_period()?;
        shrink_slabs()?;
        let next = now()?;
        if next <= last {
            return Ok(next * PAGE);
        }
        last = next;
    }
}

/// Makes the slab allocator give back the memory that no object is in, of the caches that disks take from: those of no
/// special purpose, and that of xarrays. (All of them would take seconds.)
fn shrink_slabs() -> io::Result<()> {
    for cache in fs::read_dir(SLABS)? {
        let cache = cache?;
        let name = cache.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("kmalloc-") || name == "radix_tree_node" {
            fs::write(cache.path().join("shrink"), "1")?;
        }
    }
    Ok(())
}

/// Waits until every RCU reader of now has finished, after which what waited for them is freed.
fn grace_period() -> io::Result<()> {
    let (no_flags, no_cpu) = (0, 0);
    // SAFETY: The system call takes three numbers, and touches none of our memory.
    let answer = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, no_flags, no_cpu) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Pages that are free just now.
fn now() -> io::Result<i64> {
    Ok(pages(&fs::read_to_string("/proc/zoneinfo")?))
}

/// Free pages of all zones, and those on their per-CPU lists.
fn pages(zoneinfo: &str) -> i64 {
    let mut sum = 0;
    for line in zoneinfo.lines() {
        let mut words = line.split_whitespace();
        if let (Some("nr_free_pages" | "count:"), Some(number)) = (words.next(), words.next()) {
            sum += number.parse().unwrap_or(0);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_on_the_lists_of_processors_count_as_free() {
        let text = "Node 0, zone DMA32\n  pages free 500\n    nr_free_pages 500\n  pagesets\n    cpu: 0\n              count:    30\n              high: 90\n";
        assert_eq!(pages(text), 530);
    }
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's headers that `kernel::bindings` has nothing, or not enough, of. Sorted. What of them becomes
 * Rust is in `items` and `inlines` beside this file; `../Kbuild` runs bindgen.
 *
 * Macros with a cast cannot be read by bindgen: such a value gets a constant here, named
 * RUST_CONST_HELPER_<NAME>, as the kernel's own rust/bindings/bindings_helper.h has it.
 */

#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/device-mapper.h>
#include <linux/fs_context.h>
#include <linux/kcsan-checks.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/pid.h>
#include <linux/proc_fs.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/statfs.h>
#include <linux/time_namespace.h>
#include <linux/uidgid.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

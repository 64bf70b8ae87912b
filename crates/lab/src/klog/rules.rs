// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of what no healthy kernel says. The patterns follow the messages of Linux 7.3 (the file that prints each is
//! named beside it), and those of older kernels where they differ.
//!
//! Order matters twice: the first rule that matches a line names it, and the special stand before the general.

use serde::{Serialize, Serializer};

/// How the report that a rule finds goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    /// A trap of the processor or a `WARN()`: to "end trace" (`print_oops_end_marker()` in `kernel/panic.c`).
    Trap,
    /// Some lines that end with a stack dump of a task.
    Stack,
    /// KASAN, KFENCE, KMSAN, KCSAN: framed by two rules of `=`.
    Framed,
    /// To "end Kernel panic", or to the end of the log.
    Panic,
    /// This many lines, the first included.
    Lines(usize),
}

/// How much a line tells about its report. Only traps have several such lines; the one that tells most names the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tells {
    /// Only that a report begins: "cut here".
    Nothing,
    /// That the kernel warned or died.
    That,
    /// What kind of trap it was.
    Kind,
    /// Why: what a checker found before it trapped.
    Why,
}

/// One thing that no healthy kernel says.
#[derive(Debug)]
pub struct Rule {
    /// Short name, for [`Allow`](super::Allow) and for reports.
    pub name: &'static str,
    /// Regular expression over the text of a line.
    pub pattern: &'static str,
    /// What it means, as a sentence without a full stop.
    pub meaning: &'static str,
    pub(super) report: Report,
    pub(super) tells: Tells,
    /// Whether it counts only if its report has a function of a module, or of Rust code in the image: for checks that find what the kernel's own
    /// developers have left in its C.
    pub(super) of_drivers: bool,
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

const fn trap(tells: Tells, name: &'static str, pattern: &'static str, meaning: &'static str) -> Rule {
    Rule { name, pattern, meaning, report: Report::Trap, tells, of_drivers: false }
}

const fn rule(report: Report, name: &'static str, pattern: &'static str, meaning: &'static str) -> Rule {
    Rule { name, pattern, meaning, report, tells: Tells::Kind, of_drivers: false }
}

const fn of_drivers(rule: Rule) -> Rule {
    Rule { of_drivers: true, ..rule }
}

/// What the taint flags alone tell; no line of the log matches it.
pub(super) static TAINT: Rule =
    rule(Report::Lines(1), "taint", "", "the kernel's taint flags tell of a complaint that the log has lost");

/// Position of "cut here" in [`RULES`]: the scanner treats it apart.
pub(super) const CUT_HERE: usize = 0;

use Report::{Framed, Lines, Panic, Stack};
use Tells::{Kind, Nothing, That, Why};

/// The rules.
#[rustfmt::skip]
pub static RULES: &[Rule] = &[
    // include/asm-generic/bug.h
    trap(Nothing, "cut-here", r"^-+\[ cut here \]-+$", "a report began, and its reason was lost"),

    // What checkers find before they trap.
    trap(Why, "refcount", r"^refcount_t: ", "a reference count went wrong"),                       // lib/refcount.c
    trap(Why, "list", r"^list_(?:add|del)(?: corruption[.,]| double add:)", "a linked list is corrupt"), // lib/list_debug.c
    trap(Why, "debug-objects", r"^ODEBUG: (?:\w+ .*\(?active state|object \S+ is (?:NOT )?on stack)",
        "a timer, work item or other object was used against its life cycle"),                     // lib/debugobjects.c
    trap(Why, "ubsan", r"^UBSAN: |^Internal error: UBSAN", "undefined behaviour"),                 // lib/ubsan.c
    trap(Why, "slab-leak", r"^BUG .+: Objects remaining (?:in|on) |: Slab cache still has objects when called from ",
        "a module ended with objects of its slab cache still allocated"),                          // mm/slub.c, mm/slab_common.c
    trap(Why, "slab", r"^BUG \S.* \((?:Not tainted|Tainted: [^)]*)\): ", "the allocator found a corrupt object"), // mm/slub.c
    trap(Why, "busy-inodes", r"^VFS: Busy inodes after unmount", "a file system was unmounted with inodes in use"), // fs/super.c
    trap(Why, "rust-panic", r"^(?:\w+: )?panicked at \S+:\d+:\d+", "Rust code of the kernel panicked"), // rust/kernel/lib.rs
    trap(Why, "kasan", r"^KASAN: \S+ in range \[", "KASAN: an invalid access"),                     // mm/kasan/report.c

    // Kinds of trap.
    trap(Kind, "bug", r"^kernel BUG at ", "the kernel found itself in a state that must not be"),  // lib/bug.c
    trap(Kind, "page-fault",
        r"^BUG: (?:kernel NULL pointer dereference|unable to handle (?:page fault|kernel))|^Unable to handle kernel ",
        "kernel code touched an address that is not mapped"),                                      // arch/x86/mm/fault.c
    trap(Kind, "stack-overflow", r"^BUG: .*stack guard page was hit|^BUG: stack guard page", "a kernel stack ran over"), // arch/x86/kernel/traps.c
    trap(Kind, "double-fault", r"^(?:\w+: )?PANIC: double fault", "the processor faulted while it handled a fault"),
    trap(Kind, "general-protection", r"^(?:Oops: )?(?:segment-related )?general protection fault\b",
        "kernel code used an address that cannot exist, often a freed or poisoned pointer"),       // arch/x86/kernel/traps.c
    trap(That, "oops", r"^Oops: |^Internal error: ", "kernel code died"),                          // arch/x86/kernel/dumpstack.c
    trap(That, "warning", r"^WARNING: (?:\S+:\d+ )?at .+, CPU#\d+: |^WARNING: CPU: \d+ PID: \d+ at ",
        "an assertion of the kernel did not hold"),                                                // kernel/panic.c

    // The sanitizers.
    rule(Framed, "kasan", r"^BUG: KASAN: ", "KASAN: an invalid access"),                            // mm/kasan/report.c
    rule(Framed, "kfence", r"^BUG: KFENCE: ", "KFENCE: an invalid access"),                         // mm/kfence/report.c
    rule(Framed, "kmsan", r"^BUG: KMSAN: ", "KMSAN: uninitialised memory was used"),                // mm/kmsan/report.c
    of_drivers(rule(Framed, "kcsan", r"^BUG: KCSAN: ", "KCSAN: a data race")),                      // kernel/kcsan/report.c

    // kernel/locking/lockdep.c
    rule(Stack, "lockdep-deadlock", r"^WARNING: possible (?:circular locking dependency|recursive locking) detected",
        "locks are taken in orders that can deadlock"),
    rule(Stack, "lockdep-irq",
        r"^WARNING: (?:inconsistent lock state|\S+-safe -> \S+-unsafe lock order detected|possible irq lock inversion)",
        "a lock is taken both in an interrupt and with interrupts on"),
    rule(Stack, "lockdep-held",
        r"^WARNING: (?:held lock freed!|lock held when returning to user space!|.+ still has locks held!)",
        "a lock that is held was freed, or left behind"),
    rule(Stack, "lockdep-balance",
        r"^WARNING: (?:bad unlock balance|bad contention) detected!|^WARNING: Nested lock was not taken",
        "a lock was released that was not held"),
    rule(Stack, "lockdep-context", r"^\[ BUG: Invalid wait context \]", "a sleeping lock is taken under a spinning one"),
    rule(Stack, "rcu-usage", r"^WARNING: suspicious RCU usage", "data under RCU was used without its read lock"),
    rule(Stack, "lockdep-off",
        r"^BUG: MAX_\w+ too low!|^WARNING: chain_key collision|^INFO: trying to register non-static key",
        "lockdep had to give up, and checks no more"),

    // Sleeping and preemption.
    rule(Stack, "atomic-sleep",
        r"^BUG: (?:sleeping function called from invalid context|scheduling in a non-blocking section)",
        "code that may sleep was called where it must not"),                                       // kernel/sched/core.c
    rule(Stack, "atomic-schedule", r"^BUG: scheduling while atomic", "a task slept where it must not"),
    rule(Stack, "spinlock", r"^BUG: (?:spinlock|rwlock) ", "a spinlock was misused"),               // kernel/locking/spinlock_debug.c
    rule(Stack, "workqueue", r"^BUG: workqueue leaked ", "a work item returned with a lock held or preemption off"),

    // Nothing moves.
    rule(Stack, "rcu-stall", r"^(?:rcu: )?INFO: \S+ (?:self-)?detected (?:expedited )?stalls? on ",
        "a CPU or task holds up RCU"),                                                             // kernel/rcu/tree_stall.h
    rule(Stack, "hung-task", r"^INFO: task .+:\d+ blocked (?:in I/O wait )?for more than \d+ seconds",
        "a task sleeps without waking up"),                                                        // kernel/hung_task.c
    rule(Stack, "soft-lockup", r"^(?:watchdog: )?BUG: soft lockup - ", "a CPU was held without a pause"), // kernel/watchdog.c
    rule(Stack, "hard-lockup", r"^(?:\w+ ?\w*: )*(?:CPU\d+: )?Watchdog detected hard LOCKUP", "a CPU was held with interrupts off"),
    rule(Stack, "workqueue-lockup", r"^BUG: workqueue lockup", "work items do not get their turn"), // kernel/workqueue.c

    // Memory and names.
    rule(Stack, "bad-page", r"^BUG: Bad (?:page|rss-counter)|^BUG: non-zero pgtables_bytes", "the books of the memory do not add up"),
    rule(Lines(12), "kmemleak", r"^kmemleak: (?:\d+ new suspected memory leaks|unreferenced object|Freeing unknown object|Cannot insert )",
        "memory was allocated and its address lost"),                                              // mm/kmemleak.c
    rule(Stack, "duplicate-name", r"^sysfs: cannot create duplicate filename|^debugfs: '.+' already exists in ",
        "a driver made the same name twice"),                                                      // fs/sysfs/dir.c, fs/debugfs/inode.c

    // The end.
    rule(Panic, "stack-corruption", r"^Kernel panic - not syncing: (?:stack-protector:|corrupted (?:shadow )?stack)",
        "a function wrote over its own stack"),
    rule(Panic, "panic", r"^Kernel panic - not syncing", "the kernel gave up"),                     // kernel/panic.c

    // Whatever else calls itself a bug.
    rule(Stack, "other-bug", r"^(?:[a-z][\w-]*: )?BUG: ", "the kernel found a bug in itself"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_one_thing() {
        for a in RULES {
            for b in RULES.iter().filter(|b| b.name == a.name) {
                assert_eq!(a.meaning, b.meaning, "{}", a.name);
            }
        }
    }

    #[test]
    fn cut_here_is_where_the_scanner_expects_it() {
        assert_eq!(RULES[CUT_HERE].name, "cut-here");
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! `procfile`: a text and a list in /proc.

use blockyard_lab::{Guest, Result, klog::Allow};
use blockyard_tests::{machine, on_guest, repeated, run};

use crate::twin;

/// Runs a script that must fail, and say this.
#[track_caller]
fn refused(guest: &Guest, script: &str, why: &str) -> Result<()> {
    let tried = guest.exec(script)?;
    assert_ne!(tried.status.code(), 0, "went well: {script}");
    assert!(tried.stderr_text().contains(why), "{script}: {}", tried.stderr_text());
    Ok(())
}

/// What `/proc/procfile_squares` reads as.
fn squares(up_to: u64) -> String {
    (1..=up_to).map(|n| format!("{n} {}\n", n * n)).collect()
}

#[test]
fn a_text_in_proc_is_read_and_written_as_a_file_is() {
    on_guest(|guest| {
        guest.load("procfile", "")?;
        assert_eq!(guest.check("stat -c '%a %U' /proc/procfile")?, "644 root\n");
        assert_eq!(guest.check("cat /proc/procfile")?, "");
        guest.check("echo a longer text >/proc/procfile; echo hello >/proc/procfile")?;
        assert_eq!(guest.check("cat /proc/procfile")?, "hello\n", "what was there before has gone");
        guest.check("echo world >>/proc/procfile")?;
        assert_eq!(guest.check("cat /proc/procfile")?, "hello\nworld\n");
        assert_eq!(guest.check("dd if=/proc/procfile bs=1 skip=6 count=5 status=none")?, "world");
        guest.check("printf W | dd of=/proc/procfile bs=1 seek=6 conv=notrunc status=none")?;
        assert_eq!(guest.check("cat /proc/procfile")?, "hello\nWorld\n");
        // A gap reads as zeroes.
        guest.check(
            "printf x >/proc/procfile; printf y | dd of=/proc/procfile bs=1 seek=3 conv=notrunc status=none",
        )?;
        assert_eq!(guest.check("od -An -tx1 /proc/procfile")?.trim(), "78 00 00 79");
        // `tail -c` seeks from the end.
        assert_eq!(guest.check("tail -c 1 /proc/procfile")?, "y");
        // The 4096 bytes that fit are taken, and then it is full.
        guest.check("head -c 4000 /dev/zero | tr '\\0' a >/proc/procfile")?;
        let short = guest.exec("head -c 200 /dev/zero | tr '\\0' b | dd bs=200 count=1 >>/proc/procfile")?;
        assert!(short.stderr_text().contains("No space left on device"), "{}", short.stderr_text());
        assert_eq!(guest.check("tr -d a </proc/procfile | wc -c; wc -c </proc/procfile")?, "96\n4096\n");
        refused(
            guest,
            "printf z | dd of=/proc/procfile bs=1 seek=4096 conv=notrunc status=none",
            "No space left",
        )?;
        // Nothing, written far behind the end, is nothing: it makes no gap, and asks for no memory.
        guest.check("for at in 1048576 1099511627776; do xfs_io -c \"pwrite $at 0\" /proc/procfile; done")?;
        assert_eq!(guest.check("wc -c </proc/procfile")?, "4096\n");
        let user = "setpriv --reuid 1000 --clear-groups";
        assert_eq!(guest.check(&format!("{user} head -c 3 /proc/procfile"))?, "aaa");
        refused(guest, &format!("{user} dd of=/proc/procfile </dev/null"), "Permission denied")?;
        guest.unload("procfile")
    });
}

#[test]
fn a_list_of_many_pages_is_whole_and_can_be_read_from_anywhere() {
    on_guest(|guest| {
        guest.load("procfile", "")?;
        assert_eq!(guest.check("cat /proc/procfile_squares")?, squares(10));
        guest.check("echo 5000 >/proc/procfile_squares")?;
        let all = squares(5000);
        for block in [1, 7, 512, 4096, 65536] {
            let read = guest.check(&format!("dd if=/proc/procfile_squares bs={block} status=none"))?;
            assert!(read == all, "read by {block}: {} bytes of {}", read.len(), all.len());
        }
        for (offset, count) in [(1, 10), (4095, 3), (4096, 1), (12345, 6000), (all.len() - 4, 100)] {
            let read = guest.check(&format!(
                "dd if=/proc/procfile_squares iflag=skip_bytes,count_bytes skip={offset} count={count} status=none"
            ))?;
            assert_eq!(read, all[offset..(offset + count).min(all.len())], "{count} bytes from {offset}");
        }
        // Back to where one was, on one open file.
        let twice =
            guest.check("exec 3</proc/procfile_squares; head -c 4 <&3; exec 4</dev/fd/3; head -c 4 <&4")?;
        assert_eq!(twice, "1 1\n1 1\n");
        // Writing begins the list anew.
        assert_eq!(
            guest.check("exec 3<>/proc/procfile_squares; head -c 8 <&3 >/dev/null; echo 2 >&3; cat <&3")?,
            squares(2)
        );
        for wrong in ["", "x", "-1", "100001", "1 2", "99999999999999999999999"] {
            refused(
                guest,
                &format!("echo '{wrong}' | dd of=/proc/procfile_squares status=none"),
                "Invalid argument",
            )?;
        }
        refused(
            guest,
            "head -c 200 /dev/zero | tr '\\0' 1 | dd of=/proc/procfile_squares status=none",
            "Invalid argument",
        )?;
        assert_eq!(guest.check("cat /proc/procfile_squares")?, squares(2), "refused values change nothing");
        // Whoever reads while others write gets whole lines, each once and in order.
        guest.check(
            "(for i in $(seq 100); do echo 2000 >/proc/procfile_squares; echo 4000 >/proc/procfile_squares; done) & writer=$!
             for i in $(seq 20); do
                 awk '$1 != NR || $2 != NR * NR { exit 1 } END { if (NR < 2000 || NR > 4000) exit 1 }' /proc/procfile_squares || exit 1
             done
             wait $writer",
        )?;
        guest.unload("procfile")
    });
}

#[test]
fn entries_go_with_the_module_also_while_they_are_open() {
    on_guest(|guest| {
        for field in ["author", "description", "license", "version"] {
            assert_ne!(guest.check(&format!("modinfo -F {field} procfile"))?.trim(), "", "{field}");
        }
        guest.load("procfile", "")?;
        // One file of each kind is open, and one of them has been read from.
        guest.check(
            "exec 3<>/proc/procfile 4<>/proc/procfile_squares && head -c 2 <&4 && rmmod procfile || exit 1
             ! test -e /proc/procfile && ! test -e /proc/procfile_squares || exit 1
             for fd in 3 4; do
                 ! dd count=1 status=none <&$fd 2>/tmp/read && grep 'Input/output error' /tmp/read || exit 1
                 ! echo 1 | dd status=none >&$fd 2>/tmp/write && grep 'Input/output error' /tmp/write || exit 1
             done
             insmod $(modinfo -n procfile) && echo new >/proc/procfile || exit 1
             ! dd count=1 status=none <&3 2>/tmp/read && exec 3>&- 4>&- && grep new /proc/procfile && rmmod procfile",
        )?;
        Ok(())
    });
}

#[test]
fn a_name_that_is_taken_is_an_error_and_nothing_stays() {
    let warned = Allow::new("proc_dir_entry '/proc/procfile' already registered").unwrap();
    run(machine().allow_log(warned), |guest| {
        guest.load("procfile", "")?;
        guest.check("echo first >/proc/procfile")?;
        let twin = twin::push(guest, "procfile")?;
        // The loader makes that of `EEXIST`, which it has for a module that is loaded already.
        refused(guest, &format!("insmod {twin}"), "resource busy")?;
        assert_eq!(guest.check("cat /proc/procfile")?, "first\n");
        guest.unload("procfile")?;
        guest.check(&format!("insmod {twin} && test -e /proc/procfile && rmmod {}", twin::NAME)).map(drop)
    });
}

repeated!(loads_and_unloads_some_under_readers_and_writers, 5, 180);

fn loads_and_unloads_some_under_readers_and_writers(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "(until test -e /tmp/over; do cat /proc/procfile_squares /proc/procfile; done) >/dev/null 2>&1 & a=$!
             (until test -e /tmp/over; do echo 300 >/proc/procfile_squares; echo x >>/proc/procfile; done) 2>/dev/null & b=$!
             ko=$(modinfo -n procfile)
             for i in $(seq 10); do
                 insmod $ko && head -c 2 /proc/procfile_squares && rmmod procfile || exit 1
             done
             touch /tmp/over; wait $a $b
             for i in $(seq {times}); do
                 insmod $ko && rmmod procfile || exit 1
             done
             ! test -e /proc/procfile"
        ))?;
        Ok(())
    });
}

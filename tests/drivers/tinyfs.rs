// SPDX-License-Identifier: MIT OR Apache-2.0
//! `tinyfs`: a file system in memory, its limits, and what is left of it when it is unmounted: nothing.

use blockyard_lab::{Guest, Result};
use blockyard_tests::{on_guest, repeated};

/// Runs `test` with the module loaded and an instance at `/mnt/t`.
#[track_caller]
fn with_tinyfs(options: &str, test: impl FnOnce(&Guest) -> Result<()>) {
    on_guest(|guest| {
        guest.load("tinyfs", "")?;
        guest.check(&format!("mkdir -p /mnt/t && mount -t tinyfs none /mnt/t -o {options}"))?;
        test(guest)
    });
}

/// Pages that are free, and files and folders that can still be made.
fn left(guest: &Guest) -> Result<(u64, u64)> {
    let text = guest.check("stat -f -c '%f %d' /mnt/t")?;
    let mut numbers = text.split_whitespace().map(|n| n.parse().expect("a number"));
    Ok((numbers.next().expect("pages"), numbers.next().expect("inodes")))
}

/// Runs a command that has to fail, and gives what it said.
fn refused(guest: &Guest, command: &str) -> Result<String> {
    let tried = guest.exec(command)?;
    assert_ne!(tried.status.code(), 0, "{command} succeeded");
    Ok(tried.stderr_text())
}

#[test]
fn it_is_registered_and_its_options_are_what_the_mount_says() {
    on_guest(|guest| {
        guest.load("tinyfs", "")?;
        assert_eq!(guest.check("grep tinyfs /proc/filesystems")?, "nodev\ttinyfs\n");
        guest.check("mkdir -p /mnt/t")?;
        for (given, shown, blocks, inodes, mode) in [
            ("", "size=16384k,inodes=1024,mode=755", 4096, 1024, "755"),
            ("-o size=1m,inodes=0x10,mode=0700", "size=1024k,inodes=16,mode=700", 256, 16, "700"),
            ("-o size=4097,mode=1777", "size=8k,inodes=1024,mode=1777", 2, 1024, "1777"),
            ("-o size=1g", "size=1048576k,inodes=1024,mode=755", 262_144, 1024, "755"),
        ] {
            guest.check(&format!("mount -t tinyfs none /mnt/t {given}"))?;
            let mount = guest.check("grep ' /mnt/t ' /proc/mounts")?;
            assert!(mount.contains(&format!(" tinyfs rw,relatime,{shown} ")), "{given}: {mount}");
            let told = guest.check("stat -f -c '%t %s %b %f %c %d %l' /mnt/t; stat -c '%a %F %h' /mnt/t")?;
            let expected =
                format!("74696e79 4096 {blocks} {blocks} {inodes} {} 255\n{mode} directory 2\n", inodes - 1);
            assert_eq!(told, expected, "{given}");
            guest.check("umount /mnt/t")?;
        }
        for wrong in [
            "size=0",
            "size=-1",
            "size=big",
            "size=16777216t",
            "size=99999999999999g",
            "size",
            "inodes=0",
            "mode=8",
            "mode=2777",
            "mode=",
        ] {
            let said = refused(guest, &format!("mount -t tinyfs none /mnt/t -o {wrong}"))?;
            let option = wrong.split('=').next().expect("a name");
            assert!(said.contains(&format!("bad value for option '{option}'")), "{wrong}: {said}");
        }
        let said = refused(guest, "mount -t tinyfs none /mnt/t -o colour=red")?;
        assert!(said.contains("Unknown parameter 'colour'"), "{said}");
        guest.check("! grep /mnt/t /proc/mounts")?;
        guest.unload("tinyfs")?;
        guest.check("! grep tinyfs /proc/filesystems")?;
        let said = refused(guest, "mount -t tinyfs none /mnt/t")?;
        assert!(said.contains("unknown filesystem type"), "{said}");
        Ok(())
    });
}

#[test]
fn files_and_folders_behave_as_on_any_other_file_system() {
    with_tinyfs("size=8m", |guest| {
        // Data: written, appended, overwritten in the middle, sparse, mapped, truncated, and read back.
        guest.check(
            "cd /mnt/t && head -c 1000003 /dev/urandom >/tmp/m && cp /tmp/m f && cmp f /tmp/m
             cat /tmp/m >>f && cat /tmp/m /tmp/m | cmp - f
             dd if=/dev/zero of=f bs=1 seek=4000 count=200 conv=notrunc status=none
             cmp -n 4000 f /tmp/m && cmp -n 200 -i 4000:0 f /dev/zero && cmp -i 4200 -n 995803 f /tmp/m
             truncate -s 5000 f && truncate -s 9000 f && [ \"$(stat -c %s f)\" = 9000 ]
             cmp -n 4000 -i 5000:0 f /dev/zero
             truncate -s 3m hole && cmp -n 3145728 hole /dev/zero
             cp /bin/busybox ./program && ./program echo it is mapped and runs | grep runs
             rm f hole program",
        )?;
        // Folders: link counts, a rename within, across, over a file, over an empty folder; and what is refused.
        guest.check(
            "cd /mnt/t && mkdir -p a/b/c && [ \"$(stat -c %h . a a/b a/b/c)\" = '3\n3\n3\n2' ]
             echo one >a/x && echo two >y && mv y a/b/x && mv a/x a/b/x && [ \"$(cat a/b/x)\" = one ]
             mkdir d && mv a/b/c d/c && mkdir e && mv -T e d/c && [ \"$(stat -c %h a/b d d/c)\" = '2\n3\n2' ]
             for i in $(seq 700); do : >d/n$i; done
             [ \"$(ls d | wc -l)\" = 701 ] && ls d | grep -c '^n' | grep -x 700
             rm d/n* && [ \"$(find . | sort | tr '\\n' ' ')\" = '. ./a ./a/b ./a/b/x ./d ./d/c ' ]",
        )?;
        for (command, error) in [
            ("rmdir /mnt/t/a", "Directory not empty"),
            ("mkdir /mnt/t/a", "File exists"),
            ("mv -T /mnt/t/d /mnt/t/a", "Directory not empty"),
            ("unlink /mnt/t/a", "Is a directory"),
            ("cat /mnt/t/nothing", "No such file"),
            ("ln -s x /mnt/t/link", "not permitted"),
            ("ln /mnt/t/a/b/x /mnt/t/link", "not permitted"),
            ("mkfifo /mnt/t/fifo", "not permitted"),
            ("touch /mnt/t/$(printf '%0256d' 0)", "too long"),
        ] {
            let said = refused(guest, command)?;
            assert!(said.contains(error), "{command}: {said}");
        }
        // A file that is gone from its folder lives on for who has it open.
        guest.check(
            "cd /mnt/t && echo still here >z && exec 3<z && rm z && [ \"$(cat <&3)\" = 'still here' ]",
        )?;
        guest.check("cd /mnt/t && rm -r a d && [ \"$(ls -A)\" = '' ]")?;
        assert_eq!(left(guest)?, (2048, 1023), "something was not given back");
        Ok(())
    });
}

#[test]
fn limits_hold_and_what_is_deleted_is_given_back() {
    with_tinyfs("size=1m,inodes=8", |guest| {
        let said = refused(guest, "dd if=/dev/urandom of=/mnt/t/big bs=64k count=17 status=none")?;
        assert!(said.contains("No space left on device"), "{said}");
        assert_eq!(guest.check("stat -c %s /mnt/t/big")?, "1048576\n");
        assert_eq!(left(guest)?, (0, 6));
        // What is there stays as it is, and can be changed in place.
        guest.check("dd if=/dev/zero of=/mnt/t/big bs=4k count=256 conv=notrunc status=none")?;
        for command in
            ["echo x | tee -a /mnt/t/big", "truncate -s +1 /mnt/t/big", "echo x | tee /mnt/t/other"]
        {
            let said = refused(guest, command)?;
            assert!(said.contains("No space left"), "{command}: {said}");
        }
        guest.check("truncate -s 4097 /mnt/t/big")?;
        assert_eq!(left(guest)?, (254, 5));
        // A hole counts, a byte counts for a page, and a write that faults half way gives back the rest.
        guest.check("truncate -s 100k /mnt/t/hole && echo x >/mnt/t/other")?;
        assert_eq!(left(guest)?, (254 - 25 - 1, 4));
        guest.check(
            "rm /mnt/t/hole && exec 3>/mnt/t/other && echo kept >&3 && rm /mnt/t/other && exec 3>&-",
        )?;
        assert_eq!(left(guest)?, (254, 6));
        guest.check("cd /mnt/t && mkdir 1 2 3 && touch 4 5 6")?;
        for command in ["mkdir /mnt/t/7", "touch /mnt/t/7"] {
            let said = refused(guest, command)?;
            assert!(said.contains("No space left"), "{command}: {said}");
        }
        guest.check(
            "cd /mnt/t && rmdir 1 && mv 4 7 && mv 5 6 && mkdir 8 && rm -r * && [ \"$(ls -A)\" = '' ]",
        )?;
        assert_eq!(left(guest)?, (256, 7));
        Ok(())
    });
}

#[test]
fn remounting_changes_flags_and_refuses_options() {
    with_tinyfs("size=1m", |guest| {
        guest.check("echo x >/mnt/t/f && mount -o remount,ro /mnt/t")?;
        let said = refused(guest, "echo y >/mnt/t/f")?;
        assert!(said.contains("Read-only"), "{said}");
        refused(guest, "mount -o remount,rw,size=2m /mnt/t")?;
        guest.check("grep ' /mnt/t .* ro,.*size=1024k' /proc/mounts")?;
        guest
            .check("mount -o remount,rw,size=1m /mnt/t && echo z >/mnt/t/f && [ \"$(cat /mnt/t/f)\" = z ]")?;
        Ok(())
    });
}

#[test]
fn the_module_stays_while_anything_is_mounted_or_open() {
    with_tinyfs("size=1m", |guest| {
        let said = refused(guest, "rmmod tinyfs")?;
        assert!(said.contains("in use"), "{said}");
        // Detached from the tree, it still is: a file in it is open.
        guest.check(
            "mkdir -p /mnt/u && mount -t tinyfs none /mnt/u
             echo kept >/mnt/t/f && exec 3<>/mnt/t/f && umount -l /mnt/t && umount /mnt/u
             ! rmmod tinyfs 2>/dev/null && echo more >>/proc/self/fd/3 && [ \"$(cat /proc/self/fd/3)\" = \"$(printf 'kept\\nmore')\" ]
             exec 3>&-",
        )?;
        guest.unload("tinyfs")
    });
}

#[test]
fn unmounting_frees_all_memory() {
    with_tinyfs("size=1g,inodes=100000", |guest| {
        guest.check("umount /mnt/t")?;
        let before = free_kib(guest)?;
        guest.check(
            "mount -t tinyfs none /mnt/t -o size=1g,inodes=100000
             for i in $(seq 20); do mkdir /mnt/t/$i; (cd /mnt/t/$i && seq 100 | xargs touch); done
             dd if=/dev/zero of=/mnt/t/1/big bs=1M count=128 status=none",
        )?;
        let full = free_kib(guest)?;
        assert!(before - full > 120 << 10, "128 MiB of data took {} KiB", before - full);
        guest.check("umount /mnt/t")?;
        let after = free_kib(guest)?;
        assert!(before - after < 16 << 10, "{} KiB did not come back", before - after);
        Ok(())
    });
}

repeated!(loads_and_unloads_with_a_mount_each_leave_nothing, 8, 200);

fn loads_and_unloads_with_a_mount_each_leave_nothing(times: u32) {
    on_guest(|guest| {
        guest.check(&format!(
            "mkdir -p /mnt/t
             for i in $(seq {times}); do
                 insmod $(modinfo -n tinyfs) && mount -t tinyfs none /mnt/t || exit 1
                 mkdir /mnt/t/d && echo $i >/mnt/t/d/f && [ \"$(cat /mnt/t/d/f)\" = $i ] || exit 1
                 umount /mnt/t && rmmod tinyfs || exit 1
             done
             ! grep tinyfs /proc/filesystems /proc/modules"
        ))?;
        Ok(())
    });
}

repeated!(many_tasks_at_once_leave_the_limits_right, 3, 20);

fn many_tasks_at_once_leave_the_limits_right(rounds: u32) {
    with_tinyfs("size=2m,inodes=64", |guest| {
        // Each makes, fills, renames, cuts and deletes files of its own and shared ones; nearly all of that runs into
        // a limit at times, which is not an error here.
        guest.check(&format!(
            "for task in 1 2 3 4 5 6; do (
                 for round in $(seq {rounds}); do
                     mkdir -p /mnt/t/$task
                     head -c $((round * 30000)) /dev/zero >/mnt/t/$task/a
                     cat /mnt/t/$task/a >>/mnt/t/shared
                     mv /mnt/t/$task/a /mnt/t/$((task % 6 + 1))/b
                     truncate -s $((round * 1000)) /mnt/t/shared
                     for n in $(seq 12); do : >/mnt/t/$task/n$n; done
                     rm -rf /mnt/t/$task
                 done ) 2>/dev/null & done
             wait; ls /mnt/t >/dev/null && rm -rf /mnt/t/*"
        ))?;
        assert_eq!(left(guest)?, (512, 63));
        guest.check("umount /mnt/t")?;
        guest.unload("tinyfs")
    });
}

/// The guest's free memory in KiB, caches dropped, with what is free on the per-CPU lists.
fn free_kib(guest: &Guest) -> Result<i64> {
    let text = guest.check(
        "echo 3 >/proc/sys/vm/drop_caches
         awk '$1 == \"nr_free_pages\" || $1 == \"count:\" { pages += $2 } END { print pages * 4 }' /proc/zoneinfo",
    )?;
    Ok(text.trim().parse().expect("a number of KiB"))
}

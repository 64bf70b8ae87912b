// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::accel::Engine;
use crate::process::Command;
use std::process::Stdio;

fn registry() -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::at(dir.path().join("r")).unwrap();
    (dir, registry)
}

fn info(name: &str, qemu_pid: u32) -> Info {
    Info {
        name: name.into(),
        owner_pid: std::process::id(),
        qemu_pid,
        kernel: "7.3".into(),
        accel: Engine::Tcg,
        mem_mib: 512,
        cpus: 1,
        disks: Vec::new(),
        devices: Vec::new(),
        since: 0,
    }
}

#[test]
fn a_guest_is_listed_from_its_publication_to_its_end() {
    let (_dir, registry) = registry();
    let claim = registry.claim(Some("a")).unwrap();
    assert_eq!(registry.list().unwrap(), []);
    claim.publish(&info("a", 0)).unwrap();
    assert_eq!(registry.find("a").unwrap().0, info("a", 0));
    drop(claim);
    assert_eq!(registry.list().unwrap(), []);
    assert_eq!(registry.find("a").unwrap_err().kind(), Kind::NotFound);
}

#[test]
fn a_name_belongs_to_one_guest() {
    let (_dir, registry) = registry();
    let _a = registry.claim(Some("a")).unwrap();
    assert_eq!(registry.claim(Some("a")).unwrap_err().kind(), Kind::Usage);
    let first = registry.claim(None).unwrap();
    let second = registry.claim(None).unwrap();
    assert_eq!((first.name(), second.name()), ("yard0", "yard1"));
}

#[test]
fn names_that_are_paths_are_refused() {
    let (_dir, registry) = registry();
    for name in ["", "..", "a/b", "a b", "0123456789012345678901234"] {
        assert_eq!(registry.claim(Some(name)).unwrap_err().kind(), Kind::Usage, "{name:?}");
    }
}

#[test]
fn what_a_dead_owner_left_is_ended_and_removed() {
    let (_dir, registry) = registry();
    let dir = registry.base.join("gone");
    private_dir(&dir).unwrap();
    // Stands for a QEMU that has outlived its owner: its command line names the folder.
    let mut command = Command::new("sh").args(["-c", "read -r _ <\"$0/fifo\""]).arg(&dir);
    rustix::fs::mknodat(rustix::fs::CWD, dir.join("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let mut survivor = command.spawn_with(Stdio::null(), Stdio::null()).unwrap();
    info("gone", survivor.id()).write(&dir).unwrap();
    assert_eq!(registry.list().unwrap(), []);
    assert!(!dir.exists());
    let status = survivor.wait(Some(std::time::Duration::from_secs(10))).unwrap().expect("it was killed");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

#[test]
fn a_stranger_with_the_same_process_number_is_left_alone() {
    let (_dir, registry) = registry();
    let dir = registry.base.join("gone");
    private_dir(&dir).unwrap();
    info("gone", std::process::id()).write(&dir).unwrap();
    assert_eq!(registry.list().unwrap(), []);
}

#[test]
fn a_guest_that_ends_while_others_look_is_no_error_and_leaves_nothing() {
    let (_dir, registry) = registry();
    std::thread::scope(|scope| {
        let looks = || (0..500).try_for_each(|_| registry.list().map(drop));
        let lookers = [scope.spawn(looks), scope.spawn(looks)];
        for _ in 0..500 {
            let claim = registry.claim(Some("a")).unwrap();
            let dir = claim.dir().to_owned();
            drop(claim);
            assert!(!dir.exists());
        }
        lookers.into_iter().for_each(|looker| looker.join().unwrap().unwrap());
    });
}

#[test]
fn stop_waits_for_the_owner_without_keeping_it_from_its_work() {
    let (_dir, registry) = registry();
    let claim = registry.claim(Some("a")).unwrap();
    claim.publish(&info("a", 0)).unwrap();
    std::thread::scope(|scope| {
        let stops = scope.spawn(|| registry.stop("a"));
        let marker = claim.dir().join(stop::MARKER);
        while !marker.exists() {
            assert!(!stops.is_finished());
            std::thread::yield_now();
        }
        drop(claim);
        stops.join().unwrap().unwrap();
    });
}

#[test]
fn a_lock_that_went_with_its_guest_is_not_held() {
    let (_dir, registry) = registry();
    let claim = registry.claim(Some("a")).unwrap();
    let door = claim.dir().join(DOOR);
    let Attempt::Taken(other) = Lock::attempt(&door).unwrap() else { panic!("nobody holds it") };
    let mut ends = Some((claim, other));
    let turn = Lock::wait(&door, || {
        drop(ends.take());
        Ok(())
    });
    assert!(turn.unwrap().is_none());
    assert!(matches!(Lock::attempt(&door).unwrap(), Attempt::Gone));
}

#[test]
fn a_folder_is_not_removed_while_somebody_looks() {
    let (_dir, registry) = registry();
    let claim = registry.claim(Some("a")).unwrap();
    let dir = claim.dir().to_owned();
    let look = registry.lock().unwrap();
    std::thread::scope(|scope| {
        let (done, ended) = std::sync::mpsc::channel();
        scope.spawn(move || {
            drop(claim);
            done.send(()).unwrap();
        });
        let early = ended.recv_timeout(std::time::Duration::from_millis(300));
        assert!(early.is_err() && dir.join(LOCK).exists());
        drop(look);
        ended.recv().unwrap();
        assert!(!dir.exists());
    });
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The promises of the cache, each against the accident that it is for.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use super::*;
use crate::error::Error;

struct Yard {
    cache: Cache,
    _dir: tempfile::TempDir,
}

fn yard() -> Yard {
    let dir = tempfile::tempdir().unwrap();
    Yard { cache: Cache::at(dir.path()).unwrap(), _dir: dir }
}

impl Yard {
    fn entry(&self) -> Entry {
        self.cache.entry("thing", &Key::new("a").with("x", "1")).unwrap()
    }

    fn make(&self, content: &str) -> Lease {
        self.entry().get_or_make("the thing", |dir| fill(dir, content)).unwrap()
    }

    /// Names in the kind's folder, locks aside.
    fn left(&self) -> Vec<String> {
        let names = fs::read_dir(self.cache.root().join("thing")).unwrap();
        let names = names.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter(|n| !n.ends_with(".lock")).collect()
    }
}

fn fill(dir: &Path, content: &str) -> Result<()> {
    fs::create_dir(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/file"), content).unwrap();
    Ok(())
}

fn content(dir: &Path) -> String {
    fs::read_to_string(dir.join("sub/file")).unwrap()
}

#[test]
fn an_entry_is_made_once_and_found_again() {
    let yard = yard();
    assert_eq!(content(&yard.make("first")), "first");
    assert_eq!(content(&yard.make("second")), "first");
    assert_eq!(content(&yard.entry().get("the thing").unwrap().unwrap()), "first");
}

#[test]
fn another_input_is_another_entry() {
    let (a, b) = (Key::new("k").with("ab", "c"), Key::new("k").with("a", "bc"));
    assert_ne!(a.name(), b.name());
    assert!(Key::new("../up/and away").name().starts_with("-up-and-away-"));
}

#[test]
fn makers_at_the_same_time_make_it_once() {
    let yard = yard();
    let (made, start) = (AtomicUsize::new(0), Barrier::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                let make = |dir: &Path| {
                    made.fetch_add(1, Ordering::SeqCst);
                    fill(dir, "one")
                };
                assert_eq!(content(&yard.entry().get_or_make("the thing", make).unwrap()), "one");
            });
        }
    });
    assert_eq!(made.load(Ordering::SeqCst), 1);
}

#[test]
fn a_failed_maker_leaves_nothing_and_the_next_one_makes_it() {
    let yard = yard();
    let fail = |dir: &Path| {
        fill(dir, "half").unwrap();
        Err(Error::new(Kind::Interrupted, "interrupted"))
    };
    let error = yard.entry().get_or_make("the thing", fail).unwrap_err();
    assert_eq!(error.kind(), Kind::Interrupted);
    assert_eq!(yard.left(), Vec::<String>::new());
    assert_eq!(content(&yard.make("whole")), "whole");
}

#[test]
fn a_panicking_maker_leaves_nothing() {
    let yard = yard();
    let entry = yard.entry();
    let make = std::panic::AssertUnwindSafe(|| {
        let _ = entry.get_or_make("the thing", |dir| {
            fill(dir, "half").unwrap();
            panic!("a maker's bug");
        });
    });
    std::panic::catch_unwind(make).unwrap_err();
    assert_eq!(yard.left(), Vec::<String>::new());
}

#[test]
fn what_a_killed_maker_left_is_collected_and_not_trusted() {
    let yard = yard();
    let name = yard.entry().path().file_name().unwrap().to_str().unwrap().to_owned();
    let dir = yard.cache.root().join("thing");
    for leftover in [format!(".staging-{name}.abc"), ".staging-b-0123.xyz".into(), name] {
        fs::create_dir_all(dir.join(&leftover)).unwrap();
        fill(&dir.join(&leftover), "half").unwrap();
    }
    assert!(yard.entry().get("the thing").unwrap().is_none(), "no manifest, no entry");
    assert_eq!(content(&yard.make("whole")), "whole");
    assert_eq!(yard.left().iter().filter(|n| n.starts_with(".staging")).count(), 0);
}

#[test]
fn an_entry_that_lost_a_file_or_a_byte_is_made_again() {
    let yard = yard();
    let file = yard.make("first").join("sub/file");
    fs::write(&file, "fir").unwrap();
    assert_eq!(content(&yard.make("second")), "second");
    fs::remove_file(&file).unwrap();
    assert_eq!(content(&yard.make("third")), "third");
}

#[test]
fn a_manifest_that_is_cut_at_any_length_does_not_count() {
    let yard = yard();
    drop(yard.make("first"));
    let manifest = yard.entry().beside(entry::MANIFEST);
    let whole = fs::read(&manifest).unwrap();
    for length in 0..whole.len() {
        fs::write(&manifest, &whole[..length]).unwrap();
        assert!(yard.entry().get("the thing").unwrap().is_none(), "cut to {length}");
    }
    fs::write(&manifest, &whole).unwrap();
    assert!(yard.entry().get("the thing").unwrap().is_some());
}

#[test]
fn a_resumable_entry_goes_on_where_it_was_stopped() {
    let yard = yard();
    let entry = yard.entry();
    let stop = |dir: &Path| {
        fs::write(dir.join("first-half"), "1").unwrap();
        Err(Error::new(Kind::Interrupted, "interrupted"))
    };
    entry.get_or_resume("the thing", stop).unwrap_err();
    assert!(entry.get("the thing").unwrap().is_none());
    let resumed = entry.get_or_resume("the thing", |dir| {
        assert!(dir.join("first-half").exists());
        fs::write(dir.join("second-half"), "2").unwrap();
        Ok(())
    });
    assert!(resumed.unwrap().join("second-half").exists());
}

#[test]
fn cleaning_spares_what_is_in_use() {
    let yard = yard();
    let lease = yard.make("used");
    let cleaned = yard.cache.clean("thing").unwrap();
    assert_eq!((cleaned.removed.len(), cleaned.in_use.len()), (0, 1));
    assert_eq!(content(&lease), "used");
    drop(lease);
    let cleaned = yard.cache.clean("thing").unwrap();
    assert_eq!((cleaned.removed.len(), cleaned.in_use.len()), (1, 0));
    assert!(cleaned.bytes > 0);
    assert_eq!(fs::read_dir(yard.cache.root().join("thing")).unwrap().count(), 0);
}

#[test]
fn the_lock_of_what_was_never_made_is_cleaned_too() {
    let yard = yard();
    assert!(yard.entry().get("the thing").unwrap().is_none());
    yard.cache.clean("thing").unwrap();
    assert_eq!(fs::read_dir(yard.cache.root().join("thing")).unwrap().count(), 0);
}

#[test]
fn users_and_cleaners_at_the_same_time_do_not_take_it_from_each_other() {
    let yard = yard();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..200 {
                    // A cleaner may be quicker than its maker, who is told so.
                    if let Ok(lease) = yard.entry().get_or_make("the thing", |dir| fill(dir, "whole")) {
                        std::thread::yield_now();
                        assert_eq!(content(&lease), "whole");
                    }
                }
            });
        }
        scope.spawn(|| (0..400).for_each(|_| drop(yard.cache.clean("thing").unwrap())));
    });
}

#[test]
fn a_workspace_goes_with_what_it_is_for() {
    let yard = yard();
    let checkouts = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let checkout = checkouts.path().join(name);
        fs::create_dir_all(&checkout).unwrap();
        let key = Key::new(name);
        (checkout.clone(), yard.cache.workspace("work", &key, &[&checkout], "the work").unwrap())
    };
    let (gone, (left, guard)) = make("gone");
    let (_, (kept, _)) = make("kept");
    fs::remove_dir(gone).unwrap();
    make("first");
    assert!(left.is_dir(), "it is in use");
    drop(guard);
    make("second");
    assert!(!left.exists());
    assert!(kept.is_dir());
}

#[test]
fn two_users_share_an_entry() {
    let yard = Arc::new(yard());
    let _first = yard.make("one");
    let other = yard.clone();
    std::thread::spawn(move || drop(other.make("two"))).join().unwrap();
}

#[test]
fn a_lack_of_space_is_told_with_figures() {
    let yard = yard();
    yard.cache.need_space(1, "nothing").unwrap();
    let error = yard.cache.need_space(u64::MAX, "the kernel").unwrap_err();
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(error.to_string().contains("MiB free") && error.help().is_some());
}

#[test]
fn the_folder_follows_the_environment() {
    let root = |vars: &[(&str, &str)]| {
        root_from(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)))
    };
    assert_eq!(root(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/blockyard"));
    assert_eq!(root(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]).unwrap(), Path::new("/x/blockyard"));
    assert_eq!(root(&[("HOME", "/h"), ("XDG_CACHE_HOME", "rel")]).unwrap(), Path::new("/h/.cache/blockyard"));
    assert_eq!(root(&[("BLOCKYARD_CACHE", "/b"), ("HOME", "/h")]).unwrap(), Path::new("/b"));
    assert_eq!(root(&[]).unwrap_err().kind(), Kind::Usage);
}

#[test]
fn every_file_of_a_tree_counts_and_one_changed_byte_is_another_key() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("crates/abi/src")).unwrap();
    let key = || Key::new("k").with_tree(root).unwrap().name();
    std::fs::write(root.join("crates/abi/src/lib.rs"), "one").unwrap();
    let before = key();
    assert_eq!(before, key());
    std::fs::write(root.join("crates/abi/src/lib.rs"), "two").unwrap();
    let changed = key();
    assert_ne!(before, changed);
    std::fs::rename(root.join("crates/abi/src/lib.rs"), root.join("crates/abi/src/main.rs")).unwrap();
    assert_ne!(changed, key());
}

#[test]
fn only_what_has_the_label_and_no_user_is_cleaned() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::at(dir.path()).unwrap();
    let make = |label: &str, version: &str| {
        let entry = cache.entry("programs", &Key::new(label).with("version", version)).unwrap();
        entry.get_or_make("programs", |dir| fill(dir, version)).unwrap()
    };
    let (used, _other) = (make("guest", "1"), make("guest-tools", "1").to_path_buf());
    drop(make("guest", "2"));
    let cleaned = cache.clean_of("programs", "guest").unwrap();
    let name = |version: &str| Key::new("guest").with("version", version).name();
    assert_eq!((cleaned.removed, cleaned.in_use), (vec![name("2")], vec![name("1")]));
    assert!(used.is_dir());
    assert_eq!(cache.clean("programs").unwrap().removed.len(), 1);
}

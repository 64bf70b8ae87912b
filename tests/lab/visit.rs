// SPDX-License-Identifier: MIT OR Apache-2.0
//! Other processes: they find a guest by its name, take turns in it, and may end it.

use blockyard_lab::registry::Registry;
use blockyard_lab::{Kind, Visit};
use blockyard_tests::run;

use crate::{machine, on_bare_guest};

#[test]
fn visitors_come_one_after_the_other_and_see_the_same_guest() {
    on_bare_guest(|guest| {
        guest.write("/tmp/note", "from the owner")?;
        std::thread::scope(|scope| {
            let visit = || Visit::to(guest.name()).and_then(|visit| visit.check("cat /tmp/note"));
            let visits: Vec<_> = (0..4).map(|_| scope.spawn(visit)).collect();
            visits.into_iter().for_each(|v| assert_eq!(v.join().unwrap().unwrap(), "from the owner"));
        });
        let listed = Registry::open()?.find(guest.name())?.0;
        assert_eq!((listed.owner_pid, listed.qemu_pid), (std::process::id(), guest.qemu_pid()));
        Ok(())
    });
}

#[test]
fn a_visitor_may_leave_a_daemon_behind() {
    on_bare_guest(|guest| {
        Visit::to(guest.name())?.check("sleep 1000 >/dev/null 2>&1 &")?;
        guest.check("pkill -x sleep").map(drop)
    });
}

#[test]
fn a_guest_can_be_ended_from_outside_and_its_owner_learns_why() {
    let guest = machine().boot().unwrap_or_else(|e| panic!("no guest: {e}"));
    let name = guest.name().to_owned();
    let stopper = std::thread::spawn(move || Registry::open()?.stop(&name));
    let error = guest.exec("sleep 1000").unwrap_err();
    assert_eq!(error.kind(), Kind::MachineDied);
    assert!(error.to_string().contains("blockyard stop"), "{error}");
    drop(guest);
    stopper.join().unwrap().unwrap();
}

#[test]
fn a_guest_that_does_not_run_and_a_name_that_is_taken_are_named() {
    let error = Visit::to("nobody-runs-this").unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    run(machine().name("lab-test-taken"), |_| {
        assert_eq!(machine().name("lab-test-taken").boot().unwrap_err().kind(), Kind::Usage);
        Ok(())
    });
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A driver that is part of the kernel's image instead of a module.

use blockyard_lab::{Kernel, KernelSpec, Machine, modules};
use blockyard_tests::{run, spec};

#[test]
#[ignore = "builds a kernel"]
fn a_built_in_driver_greets_at_boot_and_reads_the_command_line() {
    let spec = KernelSpec { builtin: vec!["hello".into()], ..spec() };
    let kernel = Kernel::ensure(&spec).expect("a kernel with hello in it");
    assert_eq!(kernel.builtin(), ["hello"]);
    let drivers = modules::Build::new(&kernel).run().expect("the other drivers build against it");
    assert!(drivers.iter().all(|m| m.name() != "hello") && drivers.iter().any(|m| m.name() == "simblk"));
    let machine = drivers.iter().fold(Machine::builder().kernel(&kernel), |m, driver| m.driver(driver));
    let machine = machine.append("hello.times=2 hello.whom=yard hello.numbers=7,-1 hello.loud=maybe");
    run(machine, |guest| {
        let log = guest.check("dmesg --notime | grep '^hello: '")?;
        let lines = [
            "hello: parameter loud=maybe: it must be y or n (or 1, 0, on, off)",
            "hello: hello, yard",
            "hello: hello, yard",
            "hello: 2 number(s): [7, -1]",
        ];
        assert_eq!(log.lines().collect::<Vec<_>>(), lines);
        assert_eq!(guest.check("cat /sys/module/hello/parameters/whom")?, "yard\n");
        assert_eq!(guest.check("cat /sys/module/hello/parameters/numbers")?, "7,-1\n");
        assert_eq!(guest.check("cat /sys/module/hello/parameters/loud")?, "N\n", "the default stays");
        assert_eq!(guest.check("modinfo -F filename hello")?, "(builtin)\n");
        assert_eq!(guest.check("modinfo -F version hello")?, "0.1.0\n");
        guest.check("! grep -q '^hello ' /proc/modules && modprobe hello")?;
        // A module of ours beside it, of which the kernel's image has the kit too.
        guest.load("simblk", "size_mb=8")?;
        guest.check("test $(blockdev --getsize64 /dev/simblk0) = 8388608")?;
        guest.unload("simblk")
    });
}

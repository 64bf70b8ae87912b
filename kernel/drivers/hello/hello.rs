// SPDX-License-Identifier: GPL-2.0

//! `hello`: the first module that anybody writes. It greets when it is loaded, says goodbye when it
//! is unloaded, and shows the four kinds of parameters.
//!
//! What a parameter may be at all is checked by its type, before any line of this file runs; what
//! only this driver knows (how often is too often) it checks itself, and names the parameter.

#![deny(unsafe_code)]

use kernel::prelude::*;

module! {
    type: Hello,
    name: "hello",
    authors: ["Blockyard developers"],
    description: "Greets, and shows its parameters",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// The most greetings that are not a nuisance in the log.
const MOST: u32 = 10;

kit::module_params! {
    times: u32 {
        default: 1,
        description: "How often to greet (1 to 10)",
    },
    loud: bool {
        default: false,
        description: "Whether to shout",
    },
    whom: Text<32> {
        default: Text::new("world"),
        description: "Whom to greet (at most 32 bytes)",
    },
    numbers: List<i32, 4> {
        default: List::EMPTY,
        description: "Numbers to read back (at most 4, with commas between them)",
    },
}

/// The loaded module. Dropped when it is unloaded.
struct Hello;

impl kernel::Module for Hello {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let times = parameters::times.value();
        if !(1..=MOST).contains(&times) {
            pr_err!("parameter times={times}: it must be 1 to {MOST}\n");
            return Err(EINVAL);
        }
        let end = if parameters::loud.value() { "!!!" } else { "" };
        for _ in 0..times {
            pr_info!("hello, {}{end}\n", parameters::whom.value_ref());
        }
        let numbers = parameters::numbers.value_ref();
        pr_info!("{} number(s): {:?}\n", numbers.len(), &numbers[..]);
        Ok(Self)
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        pr_info!("goodbye, {}\n", parameters::whom.value_ref());
    }
}

// SPDX-License-Identifier: GPL-2.0

//! `sysobj`: an object in sysfs whose changes user space hears of.
//!
//! `/sys/kernel/sysobj` has two attributes that root may write: `int` (a number of 32 bits, in
//! decimal, `0x` or octal notation) and `text` (one line of at most 64 printable characters). A
//! wrong value gets `EINVAL` and changes nothing. When a value becomes another one there is a uevent
//! `change` of the subsystem `sysobj` that names the attribute; writing what is there already is no
//! change. Below it, `/sys/kernel/sysobj/statistics/changes` counts the changes.

#![deny(unsafe_code)]

use kernel::{
    fmt, new_mutex,
    prelude::*,
    str::{parse_int::ParseInt, BStr},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex,
    },
};
use kit::kobject::{Attribute, AttributeOf, Kernel, Kobject, Object, Registration};

module! {
    type: Module,
    name: "sysobj",
    authors: ["Blockyard developers"],
    description: "An object in sysfs with two attributes and uevents",
    license: "GPL",
}

kit::module_version!("0.1.0");

/// The subsystem in the uevents, and the name of the object.
const NAME: &CStr = c"sysobj";
/// Most characters that `text` may have.
const LONGEST: usize = 64;

/// The loaded module; the object below keeps the one above.
struct Module {
    _statistics: Registration<Statistics, Arc<Registration<SysObj>>>,
}

impl kernel::Module for Module {
    fn init(_: &'static ThisModule) -> Result<Self> {
        let changes = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let object = Registration::new(Kernel, NAME, NAME, SysObj::new(changes.clone()))?;
        let object = Arc::new(object, GFP_KERNEL)?;
        Ok(Self {
            _statistics: Registration::new(object, c"statistics", NAME, Ok(Statistics(changes)))?,
        })
    }
}

/// What is behind `/sys/kernel/sysobj`.
#[pin_data]
struct SysObj {
    int: Atomic<i32>,
    #[pin]
    text: Mutex<KVec<u8>>,
    changes: Arc<Atomic<u64>>,
}

impl Object for SysObj {
    const ATTRIBUTES: &'static [AttributeOf<Self>] =
        &[AttributeOf::new::<Int>(), AttributeOf::new::<Text>()];
}

impl SysObj {
    fn new(changes: Arc<Atomic<u64>>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            int: Atomic::new(0),
            text <- new_mutex!(KVec::new()),
            changes,
        })
    }

    /// Counts a change and announces it.
    fn changed<A: Attribute<Object = Self>>(object: &Kobject<Self>) -> Result {
        object.changes.fetch_add(1, Relaxed);
        object.changed::<A>()
    }
}

/// The attribute `int`.
struct Int;

#[vtable]
impl Attribute for Int {
    type Object = SysObj;
    const NAME: &'static CStr = c"int";

    fn show(object: &SysObj, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", object.int.load(Relaxed))
    }

    fn store(object: &Kobject<SysObj>, text: &[u8]) -> Result {
        // The kernel's parser says `ERANGE` or `EINVAL` for a number that is too large.
        let new = i32::from_str(BStr::from_bytes(text)).map_err(|_| EINVAL)?;
        if object.int.xchg(new, Relaxed) != new {
            SysObj::changed::<Self>(object)?;
        }
        Ok(())
    }
}

/// The attribute `text`.
struct Text;

#[vtable]
impl Attribute for Text {
    type Object = SysObj;
    const NAME: &'static CStr = c"text";

    fn show(object: &SysObj, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_fmt(fmt!("{}\n", BStr::from_bytes(&object.text.lock())))
    }

    fn store(object: &Kobject<SysObj>, text: &[u8]) -> Result {
        let printable = |c: &u8| matches!(c, b' '..=b'~');
        if text.len() > LONGEST || !text.iter().all(printable) {
            return Err(EINVAL);
        }
        let mut new = KVec::with_capacity(text.len(), GFP_KERNEL)?;
        new.extend_from_slice(text, GFP_KERNEL)?;
        let old = core::mem::replace(&mut *object.text.lock(), new);
        if *old != *text {
            SysObj::changed::<Self>(object)?;
        }
        Ok(())
    }
}

/// What is behind `/sys/kernel/sysobj/statistics`.
struct Statistics(Arc<Atomic<u64>>);

impl Object for Statistics {
    const ATTRIBUTES: &'static [AttributeOf<Self>] = &[AttributeOf::new::<Changes>()];
}

/// The attribute `changes`, which can only be read.
struct Changes;

#[vtable]
impl Attribute for Changes {
    type Object = Statistics;
    const NAME: &'static CStr = c"changes";

    fn show(object: &Statistics, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", object.0.load(Relaxed))
    }
}

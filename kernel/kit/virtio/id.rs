// SPDX-License-Identifier: GPL-2.0

//! Which devices a driver is for, told to the virtio core and to whoever loads modules.
//!
//! modpost looks in each module's object for symbols of a certain name, reads the table that is
//! there, and writes an alias for each entry into `modinfo` (`virtio:d00000023v*`). depmod collects
//! these, and udev asks for the one that a new device's event names: so the module comes when the
//! device does.
//!
//! C source: [`scripts/mod/file2alias.c`](srctree/scripts/mod/file2alias.c)

use kit_bindings::{virtio_device_id, VIRTIO_DEV_ANY_ID};

/// Device ids, of any vendor, and the end mark behind them.
#[repr(C)]
pub struct IdTable<const N: usize> {
    ids: [virtio_device_id; N],
    end: virtio_device_id,
}

impl<const N: usize> IdTable<N> {
    /// A table of these device ids, none of which is 0.
    pub const fn new(devices: [u32; N]) -> Self {
        const END: virtio_device_id = virtio_device_id {
            device: 0,
            vendor: 0,
        };
        let (mut ids, mut at) = ([END; N], 0);
        while at < N {
            assert!(devices[at] != 0, "0 is no device's id");
            ids[at] = virtio_device_id {
                device: devices[at],
                vendor: VIRTIO_DEV_ANY_ID,
            };
            at += 1;
        }
        Self { ids, end: END }
    }

    /// What [`Driver::IDS`](super::Driver::IDS) wants.
    pub const fn ids(&'static self) -> Ids {
        // INVARIANT: The ids are followed by the end mark.
        Ids(core::ptr::from_ref(self).cast())
    }
}

/// A static table of ids.
///
/// # Invariants
///
/// Static, and ended by an id of zeroes.
#[derive(Clone, Copy)]
pub struct Ids(*const virtio_device_id);

impl Ids {
    pub(super) const fn as_ptr(self) -> *const virtio_device_id {
        self.0
    }
}

/// Defines a static table of device ids, and the module's aliases for them:
/// `kit::virtio_device_table!(IDS, [DEVICE_ID]);`
#[doc(alias = "MODULE_DEVICE_TABLE")]
#[macro_export]
macro_rules! virtio_device_table {
    ($name:ident, [$($device:expr),+ $(,)?]) => {
        #[export_name = concat!(
            "__mod_device_table__", line!(), "__kmod_", module_path!(), "__virtio__", stringify!($name)
        )]
        static $name: $crate::virtio::IdTable<{ <[u32]>::len(&[$($device),+]) }> =
            $crate::virtio::IdTable::new([$($device),+]);
    };
}

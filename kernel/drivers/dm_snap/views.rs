// SPDX-License-Identifier: GPL-2.0

//! Which views there are, and what was written to them.
//!
//! A table that is loaded in the place of another has targets of its own, made while the old ones
//! are still in use. A view must not lose what was written to it by that. So the contents are not
//! the target's: they belong to a place, and targets for the same place share them.

use core::ops::Deref;

use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{Arc, Mutex},
};
use kit::{
    dm::{Ctr, Device},
    global::Global,
    mem::overlay::Overlay,
    rcu_cell::Reaper,
};

/// The views of this module.
pub(crate) static VIEWS: Global<Views> = Global::new();

/// What a view is of, and where it is seen.
pub(crate) struct Place {
    /// Sectors.
    len: u64,
    /// All that must be the same.
    name: CString,
}

impl Place {
    /// The place of a target that is being made.
    pub(crate) fn new(ti: &Ctr<'_>, origin: &Device, start: u64) -> Result<Self> {
        let (begin, len) = (ti.begin(), ti.len());
        let device = ti.device_name();
        let name = fmt!("{device}: {begin} {len} {origin} {start}");
        Ok(Self {
            len,
            name: CString::try_from_fmt(name)?,
        })
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        *self.name == *other.name
    }
}

/// Contents that targets share.
struct Shared {
    place: Place,
    overlay: Arc<Overlay>,
    targets: usize,
}

/// All contents.
#[pin_data]
pub(crate) struct Views {
    #[pin]
    shared: Mutex<KVec<Shared>>,
    reaper: Arc<Reaper>,
}

impl Views {
    /// None.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let reaper = Reaper::new(c"dm_snap")?;
        let views = try_pin_init!(Self {
            shared <- new_mutex!(KVec::new()),
            reaper,
        });
        Arc::pin_init(views, GFP_KERNEL)
    }

    /// The contents at a place, which are empty if nobody has them.
    pub(crate) fn open(self: Arc<Self>, place: Place) -> Result<Contents> {
        let overlay = self.share(place)?;
        Ok(Contents {
            views: self,
            overlay,
        })
    }

    fn share(&self, place: Place) -> Result<Arc<Overlay>> {
        let mut all = self.shared.lock();
        if let Some(shared) = all.iter_mut().find(|shared| shared.place == place) {
            shared.targets += 1;
            return Ok(shared.overlay.clone());
        }
        let overlay = Arc::new(Overlay::new(place.len, &self.reaper)?, GFP_KERNEL)?;
        let shared = Shared {
            place,
            overlay: overlay.clone(),
            targets: 1,
        };
        all.push(shared, GFP_KERNEL)?;
        Ok(overlay)
    }

    fn leave(&self, overlay: &Arc<Overlay>) {
        let mut all = self.shared.lock();
        all.retain(|shared| {
            let same = Arc::ptr_eq(&shared.overlay, overlay);
            shared.targets -= usize::from(same);
            shared.targets > 0
        });
    }
}

/// A target's share of the contents. What nobody shares any more is forgotten.
pub(crate) struct Contents {
    views: Arc<Views>,
    overlay: Arc<Overlay>,
}

impl Deref for Contents {
    type Target = Overlay;

    #[inline(always)]
    fn deref(&self) -> &Overlay {
        &self.overlay
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.views.leave(&self.overlay);
    }
}

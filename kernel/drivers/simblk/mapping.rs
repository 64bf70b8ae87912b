// SPDX-License-Identifier: GPL-2.0

//! The map of a request, the answer to it, and moving the data accordingly.

use blockyard_abi::simblk as abi;
use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
};
use kit::{
    block::{Bio, Op, Segment, Status},
    mem::{StoreError, Wait},
};

use crate::{
    disk::{status, SimDisk},
    queue::Held,
};

/// The physical page of each logical page that is not on its own.
#[derive(Default)]
pub(crate) struct Table(RBTree<u64, u64>);

impl Table {
    fn physical(&self, logical: u64) -> u64 {
        self.0.get(&logical).copied().unwrap_or(logical)
    }

    fn set(&mut self, place: RBTreeNodeReservation<u64, u64>, entry: &abi::MapAnswer) {
        let (logical, physical) = (entry.logical_page, entry.new_physical_page);
        if logical == physical {
            self.0.remove(&logical);
        } else {
            self.0.insert(place.into_node(logical, physical));
        }
    }
}

/// The range of logical pages that a request touches.
#[derive(Clone, Copy)]
struct Pages {
    begin: u64,
    end: u64,
}

impl Pages {
    /// Of a bio with data.
    fn of(bio: &Bio) -> Self {
        let begin = bio.position();
        let end = begin + u64::from(bio.size());
        Self { begin, end }
    }

    fn first(self) -> u64 {
        self.begin / abi::PAGE_SIZE
    }

    fn count(self) -> u32 {
        (self.end.div_ceil(abi::PAGE_SIZE) - self.first()) as u32
    }

    /// The bytes of logical page `page` that are touched, counted from the disk's beginning.
    fn within(self, page: u64) -> (u64, u64) {
        let begin = page * abi::PAGE_SIZE;
        (self.begin.max(begin), self.end.min(begin + abi::PAGE_SIZE))
    }
}

/// How many entries the map of a request has.
pub(crate) fn count(held: &Held) -> u32 {
    Pages::of(&held.bio).count()
}

/// The map of a request.
pub(crate) fn entries<'a>(
    held: &Held,
    table: &'a Table,
) -> impl Iterator<Item = abi::MapEntry> + 'a {
    let pages = Pages::of(&held.bio);
    let direction = match held.op {
        Op::Write => abi::DIRECTION_WRITE,
        _ => abi::DIRECTION_READ,
    };
    (pages.first()..)
        .take(pages.count() as usize)
        .map(move |page| {
            let (begin, end) = pages.within(page);
            abi::MapEntry {
                logical_page: page,
                physical_page: table.physical(page),
                start_sector: begin / abi::SECTOR_SIZE,
                sectors: ((end - begin) / abi::SECTOR_SIZE) as u32,
                direction,
            }
        })
}

/// An answer, with the memory that recording it takes: allocated before the locks are taken.
pub(crate) struct Answer {
    entries: KVec<abi::MapAnswer>,
    places: KVec<RBTreeNodeReservation<u64, u64>>,
    /// Whether it can be an answer to a write: see [`is_writable`].
    writable: bool,
}

impl Answer {
    /// Takes an answer from user space, and checks what can be checked without knowing the request.
    pub(crate) fn new(entries: KVec<abi::MapAnswer>, pages: u64) -> Result<Self> {
        let in_range = |page: u64| page < pages;
        let good = |entry: &abi::MapAnswer| {
            in_range(entry.physical_page) && in_range(entry.new_physical_page)
        };
        if !entries.iter().all(good) {
            return Err(EINVAL);
        }
        let writable = is_writable(&entries);
        let mut places = KVec::with_capacity(entries.len(), GFP_KERNEL)?;
        for _ in 0..entries.len() {
            places.push(RBTreeNodeReservation::new(GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self {
            entries,
            places,
            writable,
        })
    }

    /// Fails with `EINVAL` unless this is an answer to that request.
    pub(crate) fn check(&self, held: &Held) -> Result {
        let pages = Pages::of(&held.bio);
        let expected = pages.first()..;
        let same = |(entry, page): (&abi::MapAnswer, u64)| entry.logical_page == page;
        let complete = self.entries.len() == pages.count() as usize
            && self.entries.iter().zip(expected).all(same);
        let allowed = match held.op {
            Op::Write => self.writable,
            _ => self
                .entries
                .iter()
                .all(|entry| entry.new_physical_page == entry.physical_page),
        };
        if complete && allowed {
            Ok(())
        } else {
            Err(EINVAL)
        }
    }

    /// Moves the data of a request that was checked.
    pub(crate) fn serve(&self, disk: &SimDisk, held: &Held) -> Result<(), Status> {
        let moved = match held.op {
            Op::Write => self.write(disk, &held.bio),
            _ => self.read(disk, &held.bio),
        };
        // The program's own task does this, and may wait, whatever the submitter may.
        moved.map_err(|error| status(error, &held.bio))
    }

    fn read(&self, disk: &SimDisk, bio: &Bio) -> Result<(), StoreError> {
        self.each_piece(bio, |entry, offset, piece| {
            let at = entry.physical_page * abi::PAGE_SIZE + offset;
            disk.store.read_segment(at, piece)
        })
    }

    /// A page that is only written in part gets the rest from where it was; then come the data.
    fn write(&self, disk: &SimDisk, bio: &Bio) -> Result<(), StoreError> {
        let pages = Pages::of(bio);
        for entry in &self.entries {
            let (begin, end) = pages.within(entry.logical_page);
            if end - begin < abi::PAGE_SIZE {
                disk.store.copy_page(
                    entry.physical_page,
                    entry.new_physical_page,
                    Wait::Allowed,
                )?;
            }
        }
        self.each_piece(bio, |entry, offset, piece| {
            let at = entry.new_physical_page * abi::PAGE_SIZE + offset;
            disk.store.write_segment(at, piece, Wait::Allowed)
        })
    }

    /// Gives each piece of the bio's memory that lies in one logical page to `f`, with that page's
    /// entry and the offset in the page.
    fn each_piece(
        &self,
        bio: &Bio,
        f: impl Fn(&abi::MapAnswer, u64, &Segment<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let first = Pages::of(bio).first();
        for segment in bio.segments() {
            let mut rest = Some(segment);
            while let Some(segment) = rest {
                let position = segment.position();
                let offset = position % abi::PAGE_SIZE;
                let room = (abi::PAGE_SIZE - offset) as usize;
                let (piece, left) = match segment.split_at(room) {
                    Some((piece, left)) => (piece, Some(left)),
                    None => (segment, None),
                };
                let index = (position / abi::PAGE_SIZE - first) as usize;
                let entry = self.entries.get(index).ok_or(StoreError::OutOfRange)?;
                f(entry, offset, &piece)?;
                rest = left;
            }
        }
        Ok(())
    }

    /// Remembers where the pages of a write are now.
    pub(crate) fn record(self, held: &Held, table: &mut Table) {
        if held.op != Op::Write {
            return;
        }
        for (entry, place) in self.entries.iter().zip(self.places) {
            table.set(place, entry);
        }
    }
}

/// Whether no page is written for two entries, nor written for one while another is still to be
/// copied from it.
fn is_writable(entries: &[abi::MapAnswer]) -> bool {
    entries.iter().enumerate().all(|(i, entry)| {
        let page = entry.new_physical_page;
        let mut others = entries.iter().enumerate().filter(|(j, _)| *j != i);
        others.all(|(_, other)| page != other.new_physical_page && page != other.physical_page)
    })
}

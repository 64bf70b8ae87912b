// SPDX-License-Identifier: GPL-2.0

//! The control device: disks are made, listed and removed here, and user programs take part in
//! their I/O.
//!
//! What crosses the boundary is described in `blockyard_abi::simblk`. Each ioctl's struct is copied
//! in whole and out whole (`kit::ioctl`); what is here judges every field.

use blockyard_abi::{command::ReadWrite, simblk as abi};
use kernel::{
    fs::File,
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, UniqueArc},
    uaccess::{UserPtr, UserSlice},
};
use kit::{
    capability,
    errno::{EALREADY, ENOTCONN},
    file::Operations,
    ioctl::{Argument, Call},
    noio::NoIo,
};
use zerocopy::IntoBytes;

use crate::{
    disk::{DiskRef, Geometry},
    mapper::Mapper,
    mapping::{self, Answer, Table},
    queue::{Held, Token},
    registry::Registry,
};

/// The name of the device.
pub(crate) const NAME: &CStr = c"simblk-control";

/// An open file of the control device.
#[pin_data]
pub(crate) struct Control {
    registry: Arc<Registry>,
    #[pin]
    binding: Mutex<Option<Arc<Binding>>>,
}

/// That an open file is the mapper of a disk. When the last user is gone, so is the registration.
struct Binding {
    disk: DiskRef,
    token: Token,
}

impl Drop for Binding {
    fn drop(&mut self) {
        Mapper::unregister(&self.disk, self.token);
    }
}

#[vtable]
impl Operations for Control {
    type Shared = Registry;

    fn open(registry: Arc<Registry>, _: &File) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registry,
            binding <- new_mutex!(None),
        })
    }

    fn ioctl(&self, _: &File, call: Call) -> Result<isize> {
        if ![abi::LIST.number(), abi::INFO.number()].contains(&call.number()) {
            capability::require_sys_admin()?;
        }
        // A mapping program must not wait for memory that is freed by writing to the very disk
        // whose requests it is to answer.
        let _no_io = NoIo::enter();
        call.on(abi::LIST, |wanted| self.list(wanted))
            .on(abi::INFO, |wanted| self.info(wanted))
            .on(abi::CREATE, |create| self.create(create))
            .on(abi::REMOVE, |remove| self.remove(remove))
            .on(abi::REGISTER, |register| self.register(register))
            .on(abi::REQ_SIZE, |request| self.req_size(request))
            .with(abi::GET_BLK, |argument| self.get_blk(argument))
            .on(abi::SET_BLK, |request| self.set_blk(request))
            .on(abi::SET_TIMEOUT, |request| self.set_timeout(request))
            .answer()
    }
}

impl Control {
    fn list(&self, wanted: abi::Info) -> Result<abi::Info> {
        let disk = self.registry.at_or_after(wanted.index).ok_or(ENOENT)?;
        Ok(disk.info())
    }

    fn info(&self, wanted: abi::Info) -> Result<abi::Info> {
        Ok(self.registry.get(wanted.index)?.info())
    }

    fn create(&self, mut create: abi::Create) -> Result<abi::Create> {
        if create.flags != 0 || create.reserved != 0 {
            return Err(EINVAL);
        }
        create.index = self.registry.create(Geometry {
            size: create.size,
            block_size: create.block_size,
            memory_cap: create.memory_cap,
        })?;
        Ok(create)
    }

    fn remove(&self, remove: abi::Remove) -> Result {
        if remove.flags & !abi::REMOVE_FORCE != 0 {
            return Err(EINVAL);
        }
        self.registry
            .remove(remove.index, remove.flags & abi::REMOVE_FORCE != 0)
    }

    fn register(&self, register: abi::Register) -> Result {
        if register.reserved != 0 {
            return Err(EINVAL);
        }
        let disk = self.registry.get(register.index)?;
        let mut binding = self.binding.lock();
        if binding
            .as_ref()
            .is_some_and(|old| old.disk.mapper.is_registered(old.token))
        {
            return Err(EALREADY);
        }
        // Allocated before, so that a registration in force always has somebody to end it.
        let place = UniqueArc::new_uninit(GFP_KERNEL)?;
        let token = disk.mapper.register()?;
        pr_info!(
            "{}{}: a mapping program takes part\n",
            abi::NAME,
            disk.index
        );
        *binding = Some(place.write(Binding { disk, token }).into());
        Ok(())
    }

    /// The disk that this file is the mapper of. The lock is not kept: a program may wait for a
    /// request in one thread and answer another in the next.
    fn binding(&self) -> Result<Arc<Binding>> {
        self.binding.lock().clone().ok_or(ENOTCONN)
    }

    fn req_size(&self, mut request: abi::ReqSize) -> Result<abi::ReqSize> {
        let binding = self.binding()?;
        let mapper = &binding.disk.mapper;
        (request.id, request.bytes, request.entries) = mapper.wait(
            binding.token,
            request.after,
            request.timeout_ms,
            |id, held| (id, u64::from(held.bio.size()), mapping::count(held)),
        )?;
        Ok(request)
    }

    /// Tells how many entries there are also if there is no room for them.
    fn get_blk(&self, argument: &Argument<ReadWrite<abi::GetBlk>>) -> Result {
        let mut request = argument.get()?;
        if request.reserved != 0 {
            return Err(EINVAL);
        }
        let room = request.count;
        let mut map = KVec::with_capacity(abi::MAX_MAP_ENTRIES as usize, GFP_KERNEL)?;
        let binding = self.binding()?;
        // There is room for the largest map: nothing is allocated under the locks.
        let mut copy = |held: &Held, table: &Table| {
            mapping::entries(held, table).try_for_each(|entry| map.push_within_capacity(entry))
        };
        let copied = binding
            .disk
            .mapper
            .look(binding.token, request.id, &mut copy)?;
        copied.map_err(|_| EOVERFLOW)?;
        request.count = map.len() as u32;
        argument.put(&request)?;
        if request.count > room {
            return Err(EMSGSIZE);
        }
        let address = UserPtr::from_addr(usize::try_from(request.entries)?);
        let bytes = map.as_slice().as_bytes();
        UserSlice::new(address, bytes.len())
            .writer()
            .write_slice(bytes)
    }

    fn set_blk(&self, mut request: abi::SetBlk) -> Result<abi::SetBlk> {
        if request.count == 0 || request.count > abi::MAX_MAP_ENTRIES {
            return Err(EINVAL);
        }
        let binding = self.binding()?;
        let count = request.count as usize;
        let mut answers = KVec::from_elem(abi::MapAnswer::default(), count, GFP_KERNEL)?;
        let address = UserPtr::from_addr(usize::try_from(request.answers)?);
        let bytes = answers.as_mut_slice().as_mut_bytes();
        UserSlice::new(address, bytes.len())
            .reader()
            .read_slice(bytes)?;
        let answer = Answer::new(answers, binding.disk.geometry.pages())?;
        let ended = Mapper::answer(&binding.disk, binding.token, request.id, answer)?;
        request.error = ended.map_or_else(|status| status.errno(), |()| 0);
        Ok(request)
    }

    fn set_timeout(&self, request: abi::SetTimeout) -> Result {
        let disk = self.registry.get(request.index)?;
        Mapper::set_timeout(&disk, request.timeout_ms)
    }
}

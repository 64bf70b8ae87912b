// SPDX-License-Identifier: GPL-2.0

//! The control device: disks are made, listed and removed here, and user programs take part in
//! their I/O.
//!
//! What crosses the boundary is described in `blockyard_abi::simblk`. Each ioctl copies its struct
//! in whole, judges every field, and copies it out whole: the structs have no padding, so nothing
//! else leaves the kernel.

use blockyard_abi::{ioctl::Ioctl, simblk as abi};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex, UniqueArc},
    uaccess::{UserPtr, UserSlice},
};
use kit::{capability, misc::SharedMisc, noio::NoIo};
use zerocopy::{FromBytes, Immutable, IntoBytes};

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

/// A struct that crosses the boundary.
trait Crossing: FromBytes + IntoBytes + Immutable {}
impl<T: FromBytes + IntoBytes + Immutable> Crossing for T {}

/// The argument of an ioctl, in user space.
struct Argument {
    address: UserPtr,
}

impl Argument {
    fn get<T: Crossing>(&self) -> Result<T> {
        let mut value = T::new_zeroed();
        let mut reader = UserSlice::new(self.address, size_of::<T>()).reader();
        reader.read_slice(value.as_mut_bytes())?;
        Ok(value)
    }

    fn put<T: Crossing>(&self, value: &T) -> Result {
        let mut writer = UserSlice::new(self.address, size_of::<T>()).writer();
        writer.write_slice(value.as_bytes())
    }
}

impl SharedMisc for Control {
    type Shared = Registry;
    type OwnerModule = crate::SimBlk;

    fn open(registry: Arc<Registry>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            registry,
            binding <- new_mutex!(None),
        })
    }

    fn ioctl(&self, command: u32, argument: usize) -> Result<isize> {
        let argument = Argument {
            address: UserPtr::from_addr(argument),
        };
        match Ioctl::from_raw(command) {
            abi::LIST => self.list(&argument),
            abi::INFO => self.info(&argument),
            command => {
                capability::require_sys_admin()?;
                // A mapping program must not wait for memory that is freed by writing to the very
                // disk whose requests it is to answer.
                let _no_io = NoIo::enter();
                self.privileged(command, &argument)
            }
        }
        .map(|()| 0)
    }
}

impl Control {
    fn privileged(&self, command: Ioctl, argument: &Argument) -> Result {
        match command {
            abi::CREATE => self.create(argument),
            abi::REMOVE => self.remove(argument),
            abi::REGISTER => self.register(argument),
            abi::REQ_SIZE => self.req_size(argument),
            abi::GET_BLK => self.get_blk(argument),
            abi::SET_BLK => self.set_blk(argument),
            abi::SET_TIMEOUT => self.set_timeout(argument),
            _ => Err(ENOTTY),
        }
    }

    fn list(&self, argument: &Argument) -> Result {
        let wanted: abi::Info = argument.get()?;
        let disk = self.registry.at_or_after(wanted.index).ok_or(ENOENT)?;
        argument.put(&disk.info())
    }

    fn info(&self, argument: &Argument) -> Result {
        let wanted: abi::Info = argument.get()?;
        argument.put(&self.registry.get(wanted.index)?.info())
    }

    fn create(&self, argument: &Argument) -> Result {
        let mut create: abi::Create = argument.get()?;
        if create.flags != 0 || create.reserved != 0 {
            return Err(EINVAL);
        }
        create.index = self.registry.create(Geometry {
            size: create.size,
            block_size: create.block_size,
            memory_cap: create.memory_cap,
        })?;
        argument.put(&create)
    }

    fn remove(&self, argument: &Argument) -> Result {
        let remove: abi::Remove = argument.get()?;
        if remove.flags & !abi::REMOVE_FORCE != 0 {
            return Err(EINVAL);
        }
        self.registry
            .remove(remove.index, remove.flags & abi::REMOVE_FORCE != 0)
    }

    fn register(&self, argument: &Argument) -> Result {
        let register: abi::Register = argument.get()?;
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

    fn req_size(&self, argument: &Argument) -> Result {
        let mut request: abi::ReqSize = argument.get()?;
        let binding = self.binding()?;
        let mapper = &binding.disk.mapper;
        (request.id, request.bytes, request.entries) = mapper.wait(
            binding.token,
            request.after,
            request.timeout_ms,
            |id, held| (id, u64::from(held.bio.size()), mapping::count(held)),
        )?;
        argument.put(&request)
    }

    fn get_blk(&self, argument: &Argument) -> Result {
        let mut request: abi::GetBlk = argument.get()?;
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

    fn set_blk(&self, argument: &Argument) -> Result {
        let mut request: abi::SetBlk = argument.get()?;
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
        argument.put(&request)
    }

    fn set_timeout(&self, argument: &Argument) -> Result {
        let request: abi::SetTimeout = argument.get()?;
        let disk = self.registry.get(request.index)?;
        Mapper::set_timeout(&disk, request.timeout_ms)
    }
}

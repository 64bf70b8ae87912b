// SPDX-License-Identifier: GPL-2.0

//! The functions by which the device mapper calls a target.
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

use core::{fmt::Write, marker::PhantomData, ptr::NonNull};

use kernel::{bindings, error::from_result, fmt, prelude::*, str::CStrExt};
use kit_bindings as dm;

use super::{
    device::{Devices, Id},
    instance::Complaint,
    Args, Bio, Ctr, Ended, Hints, Instance, Target, TargetType, Text, Visitor,
};

/// What `ti->private` points to, from the end of the constructor to the destructor.
///
/// Fields are dropped in order: the devices go after the target.
#[pin_data]
pub(super) struct Private<T: Target> {
    #[pin]
    target: T,
    id: Id,
    devices: Devices,
}

impl<T: Target> Private<T> {
    /// Finds the private data of a target.
    ///
    /// # Safety
    ///
    /// `ti` must be a target whose type is a [`TargetType<T>`], constructed and not destroyed as
    /// long as `'a`.
    #[inline(always)]
    pub(super) unsafe fn of<'a>(ti: *mut dm::dm_target) -> &'a Self {
        // SAFETY: By the function's contract; the constructor has put it there.
        unsafe { &*(*ti).private.cast::<Self>() }
    }

    #[inline(always)]
    pub(super) fn id(&self) -> Id {
        self.id
    }
}

/// The functions for a target. Each is called by the device mapper, with a target whose type is a
/// [`TargetType<T>`], and, apart from `ctr`, one that was constructed and is not destroyed yet;
/// none but `ctr` and `dtr` changes it. That is the contract of all of them.
pub(super) struct Callbacks<T: Target>(PhantomData<T>);

/// The constructed target and its place, for a callback.
///
/// # Safety
///
/// As for [`Private::of`].
#[inline(always)]
unsafe fn target<'a, T: Target>(ti: *mut dm::dm_target) -> (&'a T, Instance<'a>) {
    // SAFETY: By the function's contract; a target is never null.
    unsafe {
        (
            &Private::<T>::of(ti).target,
            Instance::new(NonNull::new_unchecked(ti)),
        )
    }
}

impl<T: Target> Callbacks<T> {
    /// # Safety
    ///
    /// See [`Callbacks`]; `ti` is not constructed yet; `argv` has `argc` strings.
    pub(super) unsafe extern "C" fn ctr(
        ti: *mut dm::dm_target,
        argc: c_uint,
        argv: *mut *mut c_char,
    ) -> c_int {
        // SAFETY: By the function's contract, valid during the call.
        let instance = unsafe { Instance::new(NonNull::new_unchecked(ti)) };
        let complaint = Complaint::Constructor(instance);
        from_result(|| {
            // SAFETY: As above.
            let mut args = unsafe { Args::new(argc, argv, complaint) };
            // SAFETY: The target is under construction, by this call.
            let ctr = unsafe { Ctr::new(instance) };
            // SAFETY: As above; nobody else knows the target yet.
            unsafe {
                (*ti).error = c"cannot be made".as_char_ptr().cast_mut();
                (*ti).per_io_data_size = TargetType::<T>::PER_BIO_SIZE;
                (*ti).set_accounts_remapped_io(true);
            }
            let target = T::ctr(&ctr, &mut args)?;
            let devices = &ctr.devices;
            let private = KBox::pin_init(
                try_pin_init!(Private {
                    target <- target,
                    id: devices.id(),
                    devices: devices.take(),
                }),
                GFP_KERNEL,
            )?;
            // SAFETY: As above. The destructor takes it back; nothing moves it.
            unsafe { (*ti).private = KBox::into_raw(Pin::into_inner_unchecked(private)).cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// See [`Callbacks`]. Called once, when all bios of the target have come back.
    pub(super) unsafe extern "C" fn dtr(ti: *mut dm::dm_target) {
        // SAFETY: By the function's contract, from `KBox::into_raw()` in `ctr()`, and not used any
        // more.
        drop(unsafe { Pin::new_unchecked(KBox::from_raw((*ti).private.cast::<Private<T>>())) });
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `bio` is a clone for the target, and the callee's.
    pub(super) unsafe extern "C" fn map(ti: *mut dm::dm_target, bio: *mut bindings::bio) -> c_int {
        // SAFETY: By the function's contract. The lifetime of the bio is chosen by `T::map` being
        // called with any.
        unsafe {
            let bio = Bio::new(NonNull::new_unchecked(ti), NonNull::new_unchecked(bio));
            Private::<T>::of(ti).target.map(bio).code()
        }
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `bio` is a clone for the target that `map` had, and `status` its result.
    pub(super) unsafe extern "C" fn end_io(
        ti: *mut dm::dm_target,
        bio: *mut bindings::bio,
        status: *mut bindings::blk_status_t,
    ) -> c_int {
        // SAFETY: By the function's contract.
        let (target, ended) = unsafe {
            let ended = Ended::<T>::new(
                NonNull::new_unchecked(ti),
                NonNull::new_unchecked(bio),
                NonNull::new_unchecked(status),
            );
            (&Private::<T>::of(ti).target, ended)
        };
        let ending = if T::HAS_END_IO {
            target.end_io(ended)
        } else {
            ended.done()
        };
        // SAFETY: `map` has initialised it, and nobody uses it any more.
        unsafe { super::Held::<T>::data_of(bio).drop_in_place() };
        ending.code()
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    pub(super) unsafe extern "C" fn presuspend(ti: *mut dm::dm_target) {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        target.presuspend(instance);
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    pub(super) unsafe extern "C" fn presuspend_undo(ti: *mut dm::dm_target) {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        target.presuspend_undo(instance);
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    pub(super) unsafe extern "C" fn postsuspend(ti: *mut dm::dm_target) {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        target.postsuspend(instance);
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    pub(super) unsafe extern "C" fn preresume(ti: *mut dm::dm_target) -> c_int {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        from_result(|| target.preresume(instance).map(|()| 0))
    }

    /// # Safety
    ///
    /// See [`Callbacks`].
    pub(super) unsafe extern "C" fn resume(ti: *mut dm::dm_target) {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        target.resume(instance);
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `result` has room for `maxlen` bytes.
    pub(super) unsafe extern "C" fn status(
        ti: *mut dm::dm_target,
        kind: dm::status_type_t,
        _flags: c_uint,
        result: *mut c_char,
        maxlen: c_uint,
    ) {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        // SAFETY: As above.
        let mut out = unsafe { Text::new(result, maxlen as usize) };
        let written = match kind {
            dm::status_type_t_STATUSTYPE_INFO => target.info(instance, &mut out),
            dm::status_type_t_STATUSTYPE_TABLE => target.table(&mut out),
            _ => Self::measure(target, &mut out),
        };
        if written.is_err() {
            instance.err(fmt!("bug: the status cannot be written"));
        }
    }

    /// What the integrity subsystem measures.
    fn measure(target: &T, out: &mut Text<'_>) -> fmt::Result {
        let name = T::NAME.to_str().map_err(|_| fmt::Error)?;
        let [major, minor, patch] = T::VERSION;
        write!(
            out,
            "target_name={name},target_version={major}.{minor}.{patch},table="
        )?;
        target.table(out)?;
        out.write_str(";")
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `argv` has `argc` strings; `result` has room for `maxlen` bytes.
    pub(super) unsafe extern "C" fn message(
        ti: *mut dm::dm_target,
        argc: c_uint,
        argv: *mut *mut c_char,
        result: *mut c_char,
        maxlen: c_uint,
    ) -> c_int {
        // SAFETY: By the function's contract.
        let (target, instance) = unsafe { target::<T>(ti) };
        let complaint = Complaint::Message {
            device: instance.device_name(),
            target: T::NAME,
        };
        // SAFETY: As above.
        let (mut args, mut reply) = unsafe {
            (
                Args::new(argc, argv, complaint),
                Text::new(result, maxlen as usize),
            )
        };
        // 1 says that there is a reply.
        from_result(|| {
            target.message(instance, &mut args, &mut reply)?;
            Ok(c_int::from(!reply.is_empty()))
        })
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `bdev` is valid.
    pub(super) unsafe extern "C" fn prepare_ioctl(
        ti: *mut dm::dm_target,
        bdev: *mut *mut bindings::block_device,
        _command: c_uint,
        _argument: c_ulong,
        _forward: *mut bool,
    ) -> c_int {
        // SAFETY: By the function's contract.
        let (target, instance, id) = unsafe {
            let (target, instance) = target::<T>(ti);
            (target, instance, Private::<T>::of(ti).id())
        };
        from_result(|| {
            let to = target.prepare_ioctl(instance)?;
            if !to.device.is_for(id) {
                return Err(ENXIO);
            }
            // SAFETY: As above. The device is the target's as long as the ioctl lasts, which keeps
            // the table.
            unsafe { *bdev = to.device.as_ptr() };
            Ok(c_int::from(!to.whole))
        })
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `callout` may be called with `data` for devices of the target.
    pub(super) unsafe extern "C" fn iterate_devices(
        ti: *mut dm::dm_target,
        callout: dm::iterate_devices_callout_fn,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: By the function's contract.
        let (target, mut visitor) = unsafe {
            let (target, instance) = target::<T>(ti);
            let id = Private::<T>::of(ti).id();
            (target, Visitor::new(instance, id, callout, data))
        };
        let _ = target.iterate_devices(&mut visitor);
        visitor.result()
    }

    /// # Safety
    ///
    /// See [`Callbacks`]; `limits` is valid, and nobody else uses it.
    pub(super) unsafe extern "C" fn io_hints(
        ti: *mut dm::dm_target,
        limits: *mut bindings::queue_limits,
    ) {
        // SAFETY: By the function's contract.
        let (target, instance, hints) = unsafe {
            let (target, instance) = target::<T>(ti);
            (target, instance, &mut *limits)
        };
        target.io_hints(instance, &mut Hints(hints));
    }
}

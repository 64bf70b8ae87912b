// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each ioctl may answer, after the words of `blockyard_abi::simblk`.

use blockyard_abi::ioctl::Ioctl;
use blockyard_abi::simblk as abi;
use libc::{
    EAGAIN, EALREADY, EBUSY, EFAULT, EINTR, EINVAL, EMSGSIZE, ENODEV, ENOENT, ENOMEM, ENOSPC, ENOTCONN,
    ENOTTY, ESTALE, ETIMEDOUT,
};

pub(crate) const CREATE: Ioctl = abi::CREATE.number();
pub(crate) const REMOVE: Ioctl = abi::REMOVE.number();
pub(crate) const LIST: Ioctl = abi::LIST.number();
pub(crate) const INFO: Ioctl = abi::INFO.number();
pub(crate) const REGISTER: Ioctl = abi::REGISTER.number();
pub(crate) const REQ_SIZE: Ioctl = abi::REQ_SIZE.number();
pub(crate) const GET_BLK: Ioctl = abi::GET_BLK.number();
pub(crate) const SET_BLK: Ioctl = abi::SET_BLK.number();
pub(crate) const SET_TIMEOUT: Ioctl = abi::SET_TIMEOUT.number();

/// The control device's ioctls, with their names.
pub(crate) const IOCTLS: [(Ioctl, &str); 9] = [
    (CREATE, "CREATE"),
    (REMOVE, "REMOVE"),
    (LIST, "LIST"),
    (INFO, "INFO"),
    (REGISTER, "REGISTER"),
    (REQ_SIZE, "REQ_SIZE"),
    (GET_BLK, "GET_BLK"),
    (SET_BLK, "SET_BLK"),
    (SET_TIMEOUT, "SET_TIMEOUT"),
];

/// What a call that takes an argument may always answer.
const ANY: [i32; 2] = [EFAULT, ENOMEM];

/// The name of an ioctl of the control device.
pub(crate) fn name(number: Ioctl) -> Option<&'static str> {
    IOCTLS.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether the interface documents this error number for this ioctl.
pub(crate) fn allows(number: Ioctl, errno: i32) -> bool {
    let own: &[i32] = match number {
        CREATE => &[EINVAL, ENOSPC],
        REMOVE => &[EINVAL, ENODEV, EBUSY],
        LIST => &[ENOENT],
        INFO => &[ENODEV],
        REGISTER => &[EINVAL, EBUSY, EALREADY, ENODEV],
        REQ_SIZE => &[EINVAL, EAGAIN, ETIMEDOUT, EINTR, ENOTCONN, ESTALE, ENODEV],
        GET_BLK => &[EINVAL, EMSGSIZE, ENOTCONN, ESTALE, ENODEV],
        SET_BLK => &[EINVAL, ENOTCONN, ESTALE, ENODEV],
        SET_TIMEOUT => &[EINVAL, ENODEV],
        _ => return errno == ENOTTY,
    };
    own.contains(&errno) || ANY.contains(&errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_ioctls_are_not_ours() {
        let unknown = Ioctl::none(abi::IOCTL_TYPE, 200);
        assert!(allows(unknown, ENOTTY) && !allows(unknown, EINVAL));
        assert_eq!(name(unknown), None);
        assert!(IOCTLS.iter().all(|(number, _)| !allows(*number, ENOTTY)));
    }
}

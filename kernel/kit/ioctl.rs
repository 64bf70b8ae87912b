// SPDX-License-Identifier: GPL-2.0

//! Ioctl commands as types.

// SPDX-License-Identifier: GPL-2.0

//! Kobjects with attributes in sysfs.

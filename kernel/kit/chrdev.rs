// SPDX-License-Identifier: GPL-2.0

//! Character devices with a class and a node.

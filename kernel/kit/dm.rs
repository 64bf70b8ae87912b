// SPDX-License-Identifier: GPL-2.0

//! Device-mapper targets.

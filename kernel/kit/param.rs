// SPDX-License-Identifier: GPL-2.0

//! Module parameters that upstream's `module!` lacks.

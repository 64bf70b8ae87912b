// SPDX-License-Identifier: GPL-2.0

//! Probes into running kernel code.

// SPDX-License-Identifier: MIT OR Apache-2.0
//! External modules.

/// The kind of the cache's workspaces.
pub(crate) const KIND: &str = "modules";

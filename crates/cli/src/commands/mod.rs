// SPDX-License-Identifier: MIT OR Apache-2.0
//! One file a subcommand: from arguments to one call of the lab, and from its result to output.

pub mod bench;
pub mod boot;
pub mod build;
pub mod cp;
pub mod device;
pub mod doctor;
pub mod exec;
pub mod guests;
pub mod kernel;
pub mod machine;
pub mod run;
pub mod test;
pub mod try_it;

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the guest's root file system and prints where it is.
fn main() -> blockyard_lab::Result<()> {
    println!("{}", blockyard_lab::rootfs::ensure()?.image().display());
    Ok(())
}

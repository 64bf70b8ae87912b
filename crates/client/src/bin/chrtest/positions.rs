// SPDX-License-Identifier: MIT OR Apache-2.0
//! Positions in `chardev`, whose contents have an end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::outcome;

/// Seeks to the end, into the middle, and where nothing is; reads at positions.
pub(crate) fn seek(device: &Path) -> io::Result<()> {
    let mut file = File::open(device)?;
    println!("end: {}", file.seek(SeekFrom::End(0))?);
    println!("read at the end: {}", file.read(&mut [0; 8])?);
    file.seek(SeekFrom::Start(7))?;
    let mut rest = String::new();
    file.read_to_string(&mut rest)?;
    print!("from 7: {rest}");

    let mut word = [0; 6];
    file.read_exact_at(&mut word, 0)?;
    println!("at 0: {}", word.escape_ascii());
    println!("position after that: {}", file.stream_position()?);
    println!("far behind: {}", file.read_at(&mut word, i64::MAX as u64 - 8)?);
    println!("seek behind the end: {}", outcome(file.seek(SeekFrom::End(1)).map(drop)));
    println!("seek before the beginning: {}", outcome(file.seek(SeekFrom::End(-100)).map(drop)));
    Ok(())
}

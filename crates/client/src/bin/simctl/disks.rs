// SPDX-License-Identifier: MIT OR Apache-2.0
//! Making, showing and removing disks.

use std::io::{self, Write};

use blockyard_client::{Control, Info, NewDisk};
use serde::Serialize;

use crate::Failure;
use crate::args::Create;
use crate::quantity::human;

pub(crate) fn create(create: &Create, out: &mut dyn Write) -> Result<(), Failure> {
    let Create { size, block_size, memory_cap } = *create;
    let index = Control::open()?.create(&NewDisk { size, block_size, memory_cap })?;
    Ok(writeln!(out, "/dev/simblk{index}")?)
}

pub(crate) fn list(json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let disks = Control::open()?.list()?;
    match json {
        true => print_json(&disks, out),
        false => Ok(print_table(&disks, out)?),
    }
}

pub(crate) fn info(index: u32, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let info = Control::open()?.info(index)?;
    match json {
        true => print_json(&info, out),
        false => Ok(print_info(&info, out)?),
    }
}

pub(crate) fn remove(index: u32, force: bool, out: &mut dyn Write) -> Result<(), Failure> {
    Control::open()?.remove(index, force)?;
    Ok(writeln!(out, "simblk{index} is gone")?)
}

fn print_json(value: &impl Serialize, out: &mut dyn Write) -> Result<(), Failure> {
    serde_json::to_writer_pretty(&mut *out, value).map_err(io::Error::from)?;
    Ok(writeln!(out)?)
}

fn print_table(disks: &[Info], out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{:10} {:>8} {:>6} {:>10} {:>5} {:>7} {:>10} {:>10} {:>7}",
        "DISK", "SIZE", "BLOCK", "PAGES HELD", "OPEN", "MAPPER", "READS", "WRITES", "ERRORS"
    )?;
    for disk in disks {
        let Info { name, block_size, pages_held, open_count, reads, writes, errors, .. } = disk;
        let (size, mapper) = (human(disk.size), yes_no(disk.mapper));
        writeln!(
            out,
            "{name:10} {size:>8} {block_size:>6} {pages_held:>10} {open_count:>5} {mapper:>7} {reads:>10} {writes:>10} {errors:>7}"
        )?;
    }
    Ok(())
}

fn print_info(info: &Info, out: &mut dyn Write) -> io::Result<()> {
    let cap = if info.memory_cap == 0 { "none".to_owned() } else { human(info.memory_cap) };
    let rows = [
        ("disk", info.name.clone()),
        ("size", format!("{} ({} pages)", human(info.size), info.pages())),
        ("block size", info.block_size.to_string()),
        ("memory cap", cap),
        ("pages held", info.pages_held.to_string()),
        ("open", info.open_count.to_string()),
        ("mapper", yes_no(info.mapper).to_owned()),
        ("answer within", format!("{} ms", info.timeout_ms)),
        ("held requests", info.held.to_string()),
        ("reads", format!("{} ({} bytes)", info.reads, info.bytes_read)),
        ("writes", format!("{} ({} bytes)", info.writes, info.bytes_written)),
        ("flushes", info.flushes.to_string()),
        ("discards", info.discards.to_string()),
        ("write zeroes", info.zeroes.to_string()),
        ("errors", info.errors.to_string()),
    ];
    print_rows(&rows, out)
}

/// Names and values, one pair a line.
pub(crate) fn print_rows(rows: &[(&str, String)], out: &mut dyn Write) -> io::Result<()> {
    let width = rows.iter().map(|(name, _)| name.len() + 1).max().unwrap_or(0);
    rows.iter().try_for_each(|(name, value)| writeln!(out, "{:width$} {value}", format!("{name}:")))
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

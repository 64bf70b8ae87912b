// SPDX-License-Identifier: MIT OR Apache-2.0
//! A mapping program, step by step. The driver ties the mapper to one open file, so a command that shows one step does
//! in its own process what comes before it; when it ends, the disk goes on by itself.

use std::io::{self, Write};

use blockyard_client::abi::{MapAnswer, MapEntry, PAGE_SIZE};
use blockyard_client::policy::{Spec, is_write};
use blockyard_client::serve::{Served, Server};
use blockyard_client::{Control, Error, Mapper, Outcome, Request, Wait};

use crate::Failure;
use crate::args::{Io, Target};
use crate::disks::print_rows;
use crate::signals::Stop;

/// No single wait is longer, in milliseconds: a signal that comes just before the wait begins is seen after it.
const LONGEST_WAIT_MS: u32 = 1_000;

pub(crate) fn register(target: &Target, out: &mut dyn Write) -> Result<Mapper, Failure> {
    let index = target.disk.0;
    if let Some(timeout_ms) = target.timeout {
        Control::open()?.set_timeout(index, timeout_ms)?;
    }
    let mapper = Mapper::register(index)?;
    let (pages, within) = (mapper.pages(), mapper.info().timeout_ms);
    writeln!(
        out,
        "mapper of simblk{index}: {pages} pages of {PAGE_SIZE} bytes, each answer within {within} ms"
    )?;
    Ok(mapper)
}

pub(crate) fn reqsize(target: &Target, out: &mut dyn Write) -> Result<(Mapper, Request), Failure> {
    let stop = Stop::on_signal()?;
    let mut mapper = register(target, out)?;
    out.flush()?;
    let request = wait(&mut mapper, &stop)?;
    let Request { id, bytes, entries } = request;
    writeln!(out, "request {id}: {bytes} bytes in {entries} pages")?;
    Ok((mapper, request))
}

fn wait(mapper: &mut Mapper, stop: &Stop) -> Result<Request, Failure> {
    while !stop.asked() {
        match mapper.next_request(Wait::Millis(LONGEST_WAIT_MS)) {
            Ok(Some(request)) => return Ok(request),
            // A signal may also be one that does not ask to end, such as SIGCONT.
            Ok(None) | Err(Error::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Interrupted)
}

pub(crate) fn getblk(
    target: &Target,
    out: &mut dyn Write,
) -> Result<(Mapper, Request, Vec<MapEntry>), Failure> {
    let (mapper, request) = reqsize(target, out)?;
    let map = mapper.map(&request)?;
    for entry in &map {
        let MapEntry { logical_page, physical_page, start_sector, sectors, .. } = entry;
        let verb = verb(entry);
        writeln!(
            out,
            "  {verb} sectors {start_sector}+{sectors}: logical page {logical_page} is physical page {physical_page}"
        )?;
    }
    Ok((mapper, request, map))
}

pub(crate) fn setblk(target: &Target, policy: Spec, out: &mut dyn Write) -> Result<(), Failure> {
    let (mut mapper, request, map) = getblk(target, out)?;
    check_empty(&mapper, policy)?;
    let plan = policy.policy(mapper.pages()).plan(&map);
    let outcome = mapper.answer(&request, &plan)?;
    Ok(writeln!(out, "answered by {policy}: {}; {}", moves(&plan), ending(outcome))?)
}

pub(crate) fn io(io: &Io, out: &mut dyn Write) -> Result<(), Failure> {
    let stop = Stop::on_signal()?;
    let mapper = register(&io.target, out)?;
    check_empty(&mapper, io.policy)?;
    out.flush()?;
    let pages = mapper.pages();
    let mut server = Server::new(mapper, io.policy.policy(pages));
    let limit = (io.count > 0).then_some(io.count);
    let mut printed: io::Result<()> = Ok(());
    let served = server.run(limit, &|| stop.asked(), &mut |served| {
        if io.verbose && printed.is_ok() {
            printed = print_served(served, out);
        }
    });
    printed?;
    summarize(&server, io.policy, out)?;
    served?;
    writeln!(out, "{} goes on with the identity mapping", server.source().info().name)?;
    match limit {
        Some(limit) if server.summary().requests < limit => Err(Failure::Interrupted),
        _ => Ok(()),
    }
}

/// A log-structured policy knows only what was written through it.
fn check_empty(mapper: &Mapper, policy: Spec) -> Result<(), Error> {
    let (index, pages) = (mapper.info().index, mapper.info().pages_held);
    match policy.wants_empty_disk() && pages > 0 {
        true => Err(Error::NotEmpty { index, pages }),
        false => Ok(()),
    }
}

fn print_served(served: &Served<'_>, out: &mut dyn Write) -> io::Result<()> {
    let (id, bytes) = (served.request.id, served.request.bytes);
    let verb = served.map.first().map_or("move", verb);
    writeln!(out, "request {id}: {verb} {bytes} bytes, {}; {}", moves(served.plan), ending(served.outcome))
}

fn verb(entry: &MapEntry) -> &'static str {
    if is_write(entry) { "write" } else { "read" }
}

/// The pages of an answer: `0 on 16`, or `0 from 16 to 17` where a page moves.
fn moves(plan: &[MapAnswer]) -> String {
    let page = |answer: &MapAnswer| match answer {
        a if a.physical_page == a.new_physical_page => format!("{} on {}", a.logical_page, a.physical_page),
        a => format!("{} from {} to {}", a.logical_page, a.physical_page, a.new_physical_page),
    };
    let pages: Vec<_> = plan.iter().map(page).collect();
    format!("page {}", pages.join(", "))
}

fn ending(outcome: Outcome) -> String {
    match outcome {
        Outcome::Done => "done".to_owned(),
        Outcome::Failed(number) => format!("failed: {}", io::Error::from_raw_os_error(number)),
    }
}

fn summarize(server: &Server<Mapper>, policy: Spec, out: &mut dyn Write) -> io::Result<()> {
    let sum = server.summary();
    let mut rows = vec![
        ("policy", policy.to_string()),
        ("requests", format!("{} on {} pages", sum.requests, sum.pages)),
        ("reads", format!("{} ({} bytes)", sum.reads, sum.bytes_read)),
        ("writes", format!("{} ({} bytes)", sum.writes, sum.bytes_written)),
        ("failed", sum.failed.to_string()),
        ("lost", sum.lost.to_string()),
    ];
    rows.extend(server.policy().report());
    print_rows(&rows, out)
}

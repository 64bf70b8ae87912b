// SPDX-License-Identifier: MIT OR Apache-2.0
//! `blockyard cp`: files into and out of running guests.

use std::path::Path;
use std::process::ExitCode;

use blockyard_lab::{Error, Kind, Result, Visit};

use crate::args;

/// Where a path of the command line is.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    Here(&'a Path),
    Guest { name: &'a str, path: &'a str },
}

/// `NAME:PATH` is in a guest unless the part before the colon holds a slash.
fn place(text: &str) -> Place<'_> {
    match text.split_once(':') {
        Some((name, path)) if !name.is_empty() && !name.contains('/') => Place::Guest { name, path },
        _ => Place::Here(Path::new(text)),
    }
}

/// Copies each of the first paths to the last.
pub fn run(args: &args::Cp) -> Result<ExitCode> {
    let Some((target, sources)) = args.paths.split_last() else { return Ok(ExitCode::SUCCESS) };
    sources.iter().try_for_each(|source| copy(source, target, sources.len() > 1))?;
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &str, to: &str, several: bool) -> Result<()> {
    match (place(from), place(to)) {
        (Place::Here(host), Place::Guest { name, path }) => {
            let visit = Visit::to(name)?;
            let folder = several || visit.exec(&format!("test -d {}", quoted(path)))?.status.success();
            let slash = if folder && !path.is_empty() && !path.ends_with('/') { "/" } else { "" };
            visit.push(host, &format!("{path}{slash}"))
        }
        (Place::Guest { name, path }, Place::Here(host)) => {
            if several && !host.is_dir() {
                return Err(Error::new(
                    Kind::Usage,
                    format!("{to} is no folder, and several files go there"),
                ));
            }
            Visit::to(name)?.pull(path, host)
        }
        _ => Err(Error::new(Kind::Usage, format!("neither or both of {from} and {to} are in a guest"))
            .with_help("one side is a path here, the other NAME:PATH; `blockyard ps` lists names")),
    }
}

fn quoted(path: &str) -> String {
    let path = if path.is_empty() { "." } else { path };
    shell_words::quote(path).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_path_has_a_name_before_the_colon() {
        assert_eq!(place("yard0:/etc/hosts"), Place::Guest { name: "yard0", path: "/etc/hosts" });
        assert_eq!(place("./a:b"), Place::Here(Path::new("./a:b")));
        assert_eq!(place("file"), Place::Here(Path::new("file")));
    }
}

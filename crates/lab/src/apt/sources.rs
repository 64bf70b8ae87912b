// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Debian mirror that this machine already uses and trusts.
//!
//! A machine's administrator has chosen a mirror that works from there, perhaps behind a proxy or on the
//! local network. So the lab names no host: it reads the machine's own sources, in both of apt's formats, and
//! asks the same mirror for the suites that it needs.

use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Kind, Result};

/// Where Debian's own keys are installed (package `debian-archive-keyring`).
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Suites that only Debian's archive has beside a component `main`.
const SUITES: [&str; 12] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "stable",
    "oldstable",
    "oldoldstable",
    "testing",
    "unstable",
];

/// A mirror of Debian's archive, and the keys that sign it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The mirror, as apt takes it.
    pub mirror: String,
    /// The keyring's file.
    pub keyring: PathBuf,
}

/// One source of packages, as apt's configuration states it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<PathBuf>,
}

impl Origin {
    /// The mirror of `BLOCKYARD_DEBIAN_MIRROR` if that is set, else the first of this machine's sources that is
    /// Debian's archive.
    pub fn of_this_machine() -> Result<Self> {
        let own = std::env::var("BLOCKYARD_DEBIAN_MIRROR").ok().filter(|m| !m.is_empty());
        let origin = match own {
            Some(mirror) => Some(Self { mirror, keyring: KEYRING.into() }),
            None => pick(&read_all(Path::new("/etc/apt"))?),
        };
        let origin = origin.ok_or_else(none)?;
        if origin.keyring.is_file() {
            return Ok(origin);
        }
        let message = format!("the keys of Debian's archive are not at {}", origin.keyring.display());
        Err(Error::new(Kind::Need, message).with_help("apt-get install debian-archive-keyring"))
    }
}

fn none() -> Error {
    Error::new(Kind::Need, "none of this machine's package sources (/etc/apt) is a mirror of Debian").with_help(
        "install the package debian-archive-keyring and set BLOCKYARD_DEBIAN_MIRROR to the address of a Debian mirror",
    )
}

/// The first source that is Debian's own archive.
fn pick(sources: &[Source]) -> Option<Origin> {
    let source = sources.iter().find(|s| is_debian(s))?;
    let keyring = source.signed_by.clone().unwrap_or_else(|| KEYRING.into());
    Some(Origin { mirror: source.uri.clone(), keyring })
}

/// Many a vendor's source has a suite called `stable` or `bookworm` and a component `main`. Debian's archive
/// also calls its folder (or its list of mirrors) so, or is signed by Debian's keys.
fn is_debian(source: &Source) -> bool {
    let known = |suite: &String| {
        let name = suite.strip_suffix("-updates").or(suite.strip_suffix("-backports")).unwrap_or(suite);
        SUITES.contains(&name)
    };
    let folder = source.uri.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let signed =
        source.signed_by.as_ref().and_then(|p| p.to_str()).is_some_and(|p| p.contains("debian-archive"));
    !source.uri.starts_with("cdrom:")
        && source.suites.iter().any(known)
        && source.components.iter().any(|c| c == "main")
        && (signed || folder == "debian" || folder == "debian.list")
}

fn read_all(etc: &Path) -> Result<Vec<Source>> {
    let mut files = vec![etc.join("sources.list")];
    if let Ok(dir) = std::fs::read_dir(etc.join("sources.list.d")) {
        let mut more: Vec<_> = dir.filter_map(|e| Some(e.ok()?.path())).collect();
        more.sort();
        files.extend(more);
    }
    let mut sources = Vec::new();
    for file in files.iter().filter(|f| f.is_file()) {
        let text =
            std::fs::read_to_string(file).context(Kind::Lab, || format!("cannot read {}", file.display()))?;
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => sources.extend(parse_deb822(&text)),
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            _ => {}
        }
    }
    Ok(sources)
}

/// `deb [option=value ...] URI SUITE COMPONENT...`
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim().strip_prefix("deb")?;
    let line = line.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match line.strip_prefix('[') {
        Some(tail) => tail.split_once(']')?,
        None => ("", line),
    };
    let signed_by = options.split_whitespace().find_map(|o| o.strip_prefix("signed-by="));
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?,
        suites: vec![words.next()?],
        components: words.collect(),
        signed_by: signed_by.and_then(key_file),
    })
}

/// Stanzas of `Field: value`, split by empty lines; a line that begins with a space continues its field.
fn parse_deb822(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    lines.split(|l| l.trim().is_empty()).flat_map(parse_stanza).collect()
}

fn parse_stanza(lines: &[&str]) -> Vec<Source> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        match (line.starts_with([' ', '\t']), fields.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => {
                value.push(' ');
                value.push_str(line.trim());
            }
            (false, _, Some((name, value))) => {
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()))
            }
            _ => {}
        }
    }
    let field = |name: &str| fields.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
    let words = |name: &str| field(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let off = ["no", "false", "0", "off"].contains(&field("enabled").to_ascii_lowercase().as_str());
    if off || !words("types").iter().any(|t| t == "deb") {
        return Vec::new();
    }
    let source = |uri| Source {
        uri,
        suites: words("suites"),
        components: words("components"),
        signed_by: key_file(field("signed-by")),
    };
    words("uris").into_iter().map(source).collect()
}

/// The first file of a Signed-By value, which may also be a fingerprint or a whole key.
fn key_file(value: &str) -> Option<PathBuf> {
    value.split([',', ' ']).find(|v| v.starts_with('/')).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# a comment
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 /usr/share/keyrings/debian-archive-keyring.gpg
";

    #[test]
    fn the_format_of_stanzas_is_read() {
        let sources = parse_deb822(DEB822);
        assert_eq!(sources.len(), 2);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(sources[1].signed_by.as_deref(), Some(Path::new(KEYRING)), "a continued line");
        let origin = pick(&sources).unwrap();
        assert_eq!(origin.mirror, "http://mirror.example/debian");
    }

    #[test]
    fn the_security_archive_is_not_the_archive() {
        let sources = parse_deb822(DEB822);
        assert_eq!(pick(&sources[1..]), None);
    }

    #[test]
    fn the_format_of_lines_is_read() {
        let line = "deb [arch=amd64 signed-by=/k/debian-archive.gpg] http://mirror.example/pub trixie main contrib # x";
        let source = parse_line(line).unwrap();
        assert_eq!((source.suites.as_slice(), source.components.len()), (&["trixie".to_owned()][..], 2));
        assert_eq!(pick(&[source]).unwrap().keyring, Path::new("/k/debian-archive.gpg"));
        let plain = parse_line("deb http://mirror.example/debian/ stable main").unwrap();
        assert_eq!(pick(&[plain]).unwrap().keyring, Path::new(KEYRING));
    }

    #[test]
    fn lines_that_are_no_source_of_packages_are_passed_over() {
        for line in [
            "",
            "# deb http://x/debian stable main",
            "deb-src http://x/debian stable main",
            "debian",
            "deb x",
        ] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }

    #[test]
    fn a_mirror_list_of_a_cloud_image_is_a_mirror() {
        let text = "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: trixie\nComponents: main\n";
        assert!(pick(&parse_deb822(text)).is_some());
    }

    #[test]
    fn a_vendors_source_is_not_taken_for_debian() {
        let vendors = [
            "deb [signed-by=/k/cloud.gpg] https://packages.example/apt sdk-bookworm main",
            "deb https://dl.example/linux/chrome/deb/ stable main",
            "deb https://download.example/linux/debian bookworm stable",
            "deb http://archive.example/ubuntu noble main",
            "deb cdrom:[Debian GNU/Linux 13]/debian trixie main",
        ];
        for line in vendors {
            assert_eq!(pick(&parse_line(line).into_iter().collect::<Vec<_>>()), None, "{line}");
        }
    }

    #[test]
    fn a_disabled_stanza_does_not_count() {
        assert_eq!(
            pick(&parse_deb822(&format!("Enabled: no\n{}", DEB822.split_once('\n').unwrap().1))[..1]),
            None
        );
    }
}

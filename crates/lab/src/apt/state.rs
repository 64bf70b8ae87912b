// SPDX-License-Identifier: MIT OR Apache-2.0
//! A private world for `apt-get`: its own lists, its own (empty) set of installed packages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::sources::Origin;
use super::{Request, debs_in};
use crate::cache::{Cache, Guard, Key};
use crate::error::{Context, Error, Kind, Result};
use crate::files;
use crate::process::{Command, Failure, Stream};
use crate::progress::Job;

/// How old the lists may be before the mirror is asked again.
const FRESH: Duration = Duration::from_secs(3600);
/// Bytes that must be free for apt's lists. On a full disk `apt-get update` does not fail: it waits for ever.
const LISTS: u64 = 192 << 20;
/// Longer than any fetch over a slow line; apt has time-outs of its own for a server that is silent.
const LIMIT: Duration = Duration::from_secs(3600);

/// apt's state for one mirror and set of suites; locked, because apt itself must not run twice on it.
pub(super) struct State {
    dir: PathBuf,
    mirror: String,
    suites: String,
    _guard: Guard,
}

impl State {
    /// The state for these suites of the machine's mirror, with lists that are at most an hour old.
    pub(super) fn open(cache: &Cache, suites: &[String]) -> Result<Self> {
        let origin = Origin::of_this_machine()?;
        let suites = suites.join(" ");
        let key = Key::new("state").with("mirror", &origin.mirror).with("suites", &suites);
        let (dir, guard) = cache.workspace("apt", &key, &[], "apt's lists of packages")?;
        let state = Self { dir, mirror: origin.mirror.clone(), suites, _guard: guard };
        state.lay_out(&origin)?;
        if !state.fresh() {
            cache.need_space(LISTS, "Debian's lists of packages")?;
            state.update()?;
        }
        Ok(state)
    }

    fn lay_out(&self, origin: &Origin) -> Result<()> {
        for folder in ["lists/partial", "etc/apt.conf.d", "etc/preferences.d", "etc/trusted.gpg.d"] {
            let path = self.dir.join(folder);
            std::fs::create_dir_all(&path)
                .context(Kind::Lab, || format!("cannot make {}", path.display()))?;
        }
        let keyring = origin.keyring.display();
        let sources =
            self.suites.split(' ').map(|s| format!("deb [signed-by={keyring}] {} {s} main\n", self.mirror));
        self.put("sources.list", &sources.collect::<String>())?;
        self.put("status", "")?;
        self.put("apt.conf", &self.config())
    }

    /// Read after the machine's own configuration (its proxy holds for us too), so what that says about its own
    /// folders and hooks is set anew here.
    fn config(&self) -> String {
        let dir = self.dir.display();
        format!(
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n#clear Acquire::IndexTargets;\n\
             Acquire::IndexTargets::deb::Packages {{ MetaKey \"$(COMPONENT)/binary-$(ARCHITECTURE)/Packages\"; \
             flatMetaKey \"Packages\"; ShortDescription \"Packages\"; Description \"$(RELEASE) $(COMPONENT)\"; \
             Optional \"0\"; }};\n\
             Dir::State \"{dir}\";\nDir::State::lists \"{dir}/lists\";\nDir::State::status \"{dir}/status\";\n\
             Dir::Cache \"{dir}\";\nDir::Cache::pkgcache \"pkgcache.bin\";\n\
             Dir::Cache::srcpkgcache \"srcpkgcache.bin\";\nDir::Etc \"{dir}/etc\";\nDir::Etc::sourcelist \"{dir}/sources.list\";\n\
             Dir::Etc::sourceparts \"-\";\nDir::Etc::preferencesparts \"{dir}/etc/preferences.d\";\n\
             Dir::Etc::preferences \"-\";\nDir::Log \"{dir}\";\n\
             APT::Sandbox::User \"\";\nAPT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\nAPT::Update::Error-Mode \"any\";\n\
             APT::Default-Release \"\";\nAcquire::Languages \"none\";\nAcquire::Retries \"2\";\n\
             Acquire::http::Timeout \"30\";\nAcquire::https::Timeout \"30\";\n"
        )
    }

    fn put(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).context(Kind::Lab, || format!("cannot write {}", path.display()))
    }

    fn stamp(&self) -> PathBuf {
        self.dir.join("updated")
    }

    fn fresh(&self) -> bool {
        let age =
            self.stamp().metadata().and_then(|m| m.modified()).map(|t| SystemTime::now().duration_since(t));
        matches!(age, Ok(Ok(age)) if age < FRESH)
    }

    fn update(&self) -> Result<()> {
        let job = Job::begin(format!("fetching Debian's lists of packages ({})", self.suites));
        self.apt("apt-get").arg("update").run().map_err(|e| self.unreachable(e, "its lists of packages"))?;
        self.put("updated", "")?;
        job.done();
        Ok(())
    }

    /// Fetches the packages into `dir`, and nothing else: apt's usual place for them is shared, and what an interrupted
    /// fetch had left there would end up among the packages of the next one, perhaps in another version.
    pub(super) fn download(&self, request: &Request, dir: &Path, what: &str) -> Result<()> {
        let mut job = Job::begin(format!("fetching {what}"));
        let archives = dir.join("archives");
        // apt makes the inner folder only below places that it knows.
        files::create_dir(&archives.join("partial"))?;
        let mut place = OsString::from("Dir::Cache::archives=");
        place.push(&archives);
        let command = match request.dependencies {
            true => self.apt("apt-get").args(["install", "--download-only", "--yes"]),
            false => self.apt("apt-get").arg("download").current_dir(&archives),
        };
        let prefer = request.prefer.as_ref().map(|suite| format!("APT::Default-Release={suite}"));
        command
            .args(["-o", "APT::Status-Fd=1"])
            .arg("-o")
            .arg(place)
            .args(prefer.iter().flat_map(|option| ["-o", option]))
            .args(&request.packages)
            .on_line(|stream, line| show(&mut job, stream, line))
            .run()
            .map_err(|e| self.unreachable(e, what))?;
        for deb in debs_in(&archives)? {
            files::rename(&deb.path, &dir.join(deb.path.file_name().unwrap_or_default()))?;
        }
        files::remove(&archives)?;
        job.done();
        Ok(())
    }

    /// The versions of a package on offer, newest first.
    pub(super) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let out = self.apt("apt-cache").args(["madison", package]).read()?;
        Ok(parse_madison(&String::from_utf8_lossy(&out)))
    }

    fn apt<'a>(&self, program: &str) -> Command<'a> {
        Command::new(program)
            .arg("-c")
            .arg(self.dir.join("apt.conf"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .deadline(LIMIT)
    }

    /// Says what could not be fetched, and sorts out what is no fault of the network.
    fn unreachable(&self, error: Error, what: &str) -> Error {
        let failure = std::error::Error::source(&error).and_then(|s| s.downcast_ref::<Failure>());
        let Some(failure) = failure.filter(|_| error.kind() != Kind::NoSpace) else { return error };
        let cause = essence(failure);
        let (mirror, suites) = (&self.mirror, &self.suites);
        let missing = ["Unable to locate package", "has no installation candidate", "was not found"];
        if missing.iter().any(|words| cause.tail.iter().any(|line| line.contains(words))) {
            return Error::new(
                Kind::NotFound,
                format!("{what}: the suites {suites} of {mirror} do not have it"),
            )
            .with_help("a mirror that is a snapshot of the past lacks newer suites and packages")
            .with_source(cause);
        }
        Error::new(Kind::Network, format!("cannot fetch {what} from {mirror} ({suites})"))
            .with_help("check the network and apt's proxy settings, then run the same command again")
            .with_source(cause)
    }
}

/// apt's own first errors, without its report of each file.
fn essence(failure: &Failure) -> Failure {
    let errors = failure.tail.iter().filter(|l| l.starts_with("E:") || l.starts_with("W:"));
    Failure { status: failure.status, tail: errors.take(4).cloned().collect() }
}

/// `dlstatus:ITEM:PERCENT:TEXT` is apt's report for machines.
fn show(job: &mut Job, stream: Stream, line: &str) {
    let mut fields = line.split(':');
    if stream != Stream::Stdout || fields.next() != Some("dlstatus") {
        return;
    }
    let percent = fields.nth(1).and_then(|p| p.parse::<f64>().ok()).unwrap_or_default();
    job.set_total(100);
    // Whole percents are what the bar counts in.
    job.set(percent.clamp(0.0, 100.0) as u64);
    job.detail(fields.next().unwrap_or_default());
}

/// Lines of `NAME | VERSION | WHERE`, newest first, as `apt-cache madison` prints them.
fn parse_madison(text: &str) -> Vec<String> {
    let version = |line: &str| Some(line.split('|').nth(1)?.trim().to_owned());
    let mut versions: Vec<String> = text.lines().filter_map(version).collect();
    versions.dedup();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_order() {
        let text = "  rust-src | 1.95.0+dfsg1-2~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages\n\
                      rust-src | 1.85.0+dfsg3-1 | http://m.example/debian trixie/main amd64 Packages\n";
        assert_eq!(parse_madison(text), ["1.95.0+dfsg1-2~bpo13+1", "1.85.0+dfsg3-1"]);
        assert!(parse_madison("").is_empty());
    }

    #[test]
    fn a_report_of_progress_moves_the_bar() {
        let mut job = Job::begin("fetching");
        show(&mut job, Stream::Stdout, "dlstatus:3:42.5:Retrieving file 3 of 133 (2s remaining)");
        show(&mut job, Stream::Stdout, "Get:4 something else");
        assert!(format!("{job:?}").contains("at: 42"), "{job:?}");
    }

    /// A mirror in a folder, with one package that needs another, and apt's state for it.
    fn local(dir: &Path) -> State {
        let repository = dir.join("repository");
        let mut index = String::new();
        for (name, depends) in [("needs", "Depends: needed\n"), ("needed", "")] {
            let tree = dir.join(name);
            std::fs::create_dir_all(tree.join("DEBIAN")).unwrap();
            std::fs::create_dir_all(&repository).unwrap();
            let control = format!(
                "Package: {name}\nVersion: 2\nArchitecture: all\nMaintainer: T <t@example.org>\n\
                 Description: x\n{depends}"
            );
            std::fs::write(tree.join("DEBIAN/control"), &control).unwrap();
            let deb = repository.join(format!("{name}_2_all.deb"));
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "--build"])
                .arg(&tree)
                .arg(&deb)
                .run()
                .unwrap();
            let sum = Command::new("sha256sum").arg(&deb).read().unwrap();
            let (sum, size) =
                (String::from_utf8_lossy(&sum[..64]).into_owned(), deb.metadata().unwrap().len());
            index
                .push_str(&format!("{control}Filename: ./{name}_2_all.deb\nSize: {size}\nSHA256: {sum}\n\n"));
        }
        std::fs::write(repository.join("Packages"), index).unwrap();
        let cache = Cache::at(dir.join("cache")).unwrap();
        let (state, guard) = cache.workspace("apt", &Key::new("state"), &[], "apt's lists").unwrap();
        let mirror = format!("copy:{}", repository.display());
        let state = State { dir: state, mirror, suites: "./".into(), _guard: guard };
        let keyring = dir.join("none.gpg");
        state.lay_out(&Origin { mirror: state.mirror.clone(), keyring }).unwrap();
        state.put("sources.list", &format!("deb [trusted=yes] {} ./\n", state.mirror)).unwrap();
        state.update().unwrap();
        state
    }

    #[test]
    fn a_fetch_gives_its_own_packages_whatever_an_interrupted_one_left() {
        let dir = tempfile::tempdir().unwrap();
        let state = local(dir.path());
        let left = state.dir.join("archives");
        std::fs::create_dir_all(&left).unwrap();
        for stale in ["needed_1_all.deb", "other_1_all.deb"] {
            std::fs::write(left.join(stale), "an earlier version").unwrap();
        }
        for (request, expected) in [
            (Request::with_dependencies(&[], ["needs"]), &["needed_2_all.deb", "needs_2_all.deb"][..]),
            (Request::alone(&[], ["needs"]), &["needs_2_all.deb"]),
        ] {
            let into = tempfile::tempdir_in(dir.path()).unwrap();
            state.download(&request, into.path(), "the packages").unwrap();
            let names = files::children(into.path()).unwrap();
            assert_eq!(names, expected.iter().map(|name| into.path().join(name)).collect::<Vec<_>>());
        }
    }
}

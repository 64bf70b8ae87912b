// SPDX-License-Identifier: MIT OR Apache-2.0
//! KCSAN for Rust.
//!
//! KCSAN looks for data races where the compiler has put a call beside each access to memory, as for ThreadSanitizer.
//! The kernel has its C compiled so, and not its Rust: it describes its target to rustc as one that has no such
//! sanitizer, and rustc then refuses. The calls are the same, and KCSAN answers them. So the kernel of this profile is
//! built with a target that has it, and `kernel/Kbuild`, which looks for that, has our modules compiled with
//! it, and what of the crates `kernel` and `core` is compiled into them: all that is generic or inlined.

use std::path::Path;

use crate::error::Result;
use crate::{files, progress};

/// The script that writes the target's description.
const SCRIPT: &str = "scripts/generate_rust_target.rs";
/// What it says of sanitizers.
const WITHOUT: &str = r#"["kcfi", "kernel-address"]"#;
/// What it has to say.
const WITH: &str = r#"["kcfi", "kernel-address", "thread"]"#;

/// That script as it should be; `None`, and a word to the user, if this source has one that we do not know.
pub(super) fn target(source: &Path) -> Result<Option<(&'static str, String)>> {
    let script = files::read(&source.join(SCRIPT))?;
    if script.contains(WITHOUT) {
        return Ok(Some((SCRIPT, script.replace(WITHOUT, WITH))));
    }
    progress::note(format!("{SCRIPT} is not as expected: KCSAN will see no race in Rust, only in C"));
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(script: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        files::create_dir(&dir.path().join("scripts")).unwrap();
        files::write(&dir.path().join(SCRIPT), script).unwrap();
        dir
    }

    #[test]
    fn the_target_gets_one_more_sanitizer() {
        let before = r#"ts.push("supported-sanitizers", ["kcfi", "kernel-address"]);"#;
        let (path, script) = target(source(before).path()).unwrap().unwrap();
        assert_eq!(path, SCRIPT);
        assert_eq!(script, r#"ts.push("supported-sanitizers", ["kcfi", "kernel-address", "thread"]);"#);
    }

    #[test]
    fn a_script_that_is_not_known_is_left_as_it_is() {
        assert!(target(source(r#"["kcfi", "thread"]"#).path()).unwrap().is_none());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a tree to an ext4 image, without root: `mke2fs -d`, then every file given to root.

use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::{Context, Kind, Result};
use crate::files;
use crate::process::Command;

/// The image's name in its cache entry.
pub const NAME: &str = "root.ext4";

/// Free space in the image beyond what the files take: metadata of the file system itself.
const SLACK_PERCENT: u64 = 12;

/// Makes `image` from what is below `root`.
pub fn make(root: &Path, image: &Path) -> Result<()> {
    let mut tree = Tree::default();
    tree.walk(root, "")?;
    let kib = (tree.bytes >> 10) * (100 + SLACK_PERCENT) / 100 + (16 << 10);
    // Read-only for ever: no journal, no reserved blocks. A fixed UUID and hash seed: the same tree, the same image.
    Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^has_journal,^resize_inode"])
        .args(["-L", "blockyard-root", "-U", "b10c4a2d-0000-4000-8000-000000000001"])
        .args(["-E", "hash_seed=b10c4a2d-0000-4000-8000-000000000002,lazy_itable_init=0,root_owner=0:0"])
        .args(["-N", &(tree.count + 256).to_string()])
        .arg("-d")
        .arg(root)
        .arg(image)
        .arg(format!("{kib}k"))
        .run()?;
    if tree.chown.is_empty() { Ok(()) } else { give_to_root(image, &tree.chown) }
}

/// What is in a tree.
#[derive(Default)]
struct Tree {
    bytes: u64,
    count: u64,
    /// debugfs commands that give what is not root's to root.
    chown: String,
}

impl Tree {
    fn walk(&mut self, dir: &Path, inside: &str) -> Result<()> {
        for path in files::children(dir)? {
            let meta = path
                .symlink_metadata()
                .context(Kind::Lab, || format!("cannot look at {}", path.display()))?;
            let name = format!("{inside}/{}", path.file_name().unwrap_or_default().to_string_lossy());
            self.bytes += meta.len().next_multiple_of(4096);
            self.count += 1;
            for (field, id) in [("uid", meta.uid()), ("gid", meta.gid())] {
                if id != 0 {
                    let _ = writeln!(self.chown, "set_inode_field \"{name}\" {field} 0");
                }
            }
            if meta.is_dir() {
                self.walk(&path, &name)?;
            }
        }
        Ok(())
    }
}

/// mke2fs copies the owner of each file, which is whoever unpacked it.
fn give_to_root(image: &Path, commands: &str) -> Result<()> {
    Command::new("debugfs").arg("-w").arg(image).stdin_bytes(commands.as_bytes())?.run()
}

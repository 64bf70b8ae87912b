// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device under load, while its table is suspended, resumed and replaced.

use std::time::Duration;

use blockyard_lab::{Guest, Result};

/// Writes to and verifies `/dev/mapper/NAME` without pause, while a loop suspends it in each of the ways there are, and
/// gives it each of `tables` in turn, `rounds` times. The tables must map the same sectors to the same places.
pub fn survives_reloads(guest: &Guest, name: &str, tables: &[&str], rounds: u32) -> Result<()> {
    let load = format!(
        "trap 'touch /tmp/ended' EXIT; echo started
         until [ -e /tmp/enough ]; do
             fio --name=v --filename=/dev/mapper/{name} --rw=randwrite --bsrange=512-128k --size=8m --direct=1 \
                 --ioengine=libaio --iodepth=16 --fsync=16 --verify=crc32c --verify_fatal=1 --verify_backlog=64 \
                 --output=/tmp/fio.log || exit 1
         done"
    );
    let mut load = guest.command(["/bin/sh", "-c", &load]).no_timeout().spawn()?;
    load.wait_for_text("started", Duration::from_secs(30))?;
    let tables = tables.iter().map(|table| format!("'{table}'")).collect::<Vec<_>>().join(" ");
    guest.check(&format!(
        "set -e
         stat=/sys/block/$(basename $(readlink -f /dev/mapper/{name}))/stat
         moved() {{ read -r r _ _ _ w _ <$stat; echo $((r + w)); }}
         more() {{
             before=$(moved)
             until [ $(moved) -gt $((before + 20)) ]; do [ ! -e /tmp/ended ] || {{ cat /tmp/fio.log; exit 9; }}; done
         }}
         more
         for i in $(seq {rounds}); do
             for table in {tables}; do
                 dmsetup suspend {name}; dmsetup resume {name}; more
                 dmsetup suspend --noflush {name}; dmsetup resume {name}; more
                 dmsetup reload {name} --table \"$table\"
                 dmsetup suspend --noflush --nolockfs {name}; dmsetup resume {name}; more
             done
         done
         touch /tmp/enough"
    ))?;
    let ended = load.wait()?;
    assert_eq!(ended.status.code(), 0, "{}", guest.check("cat /tmp/fio.log")?);
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The disk as the specification has it (virtio 1.2, section 5.2), in memory and in a file.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use blockyard_device::mock::{Part, Rig, Used};
use blockyard_device::{Device, DeviceSpec};
use proptest::prelude::*;
use tempfile::TempDir;

const SIZE: u64 = 4 << 20;
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const WRITE_ZEROES: u32 = 13;

const F_FLUSH: u64 = 1 << 9;
const F_CONFIG_WCE: u64 = 1 << 11;

/// A disk and its driver.
struct Disk {
    rig: Rig,
    device: Arc<dyn Device>,
    name: &'static str,
    file: Option<PathBuf>,
    _dir: Option<TempDir>,
}

/// Of both kinds, with further options.
fn disks(options: &str) -> [Disk; 2] {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk.img");
    std::fs::File::create(&path).unwrap().set_len(SIZE).unwrap();
    let in_file = format!("blk,file={}{options}", path.display());
    let make = |spec: &str, name, file, dir| {
        let device = spec.parse::<DeviceSpec>().unwrap().make().unwrap();
        Disk { rig: Rig::new(device.clone()), device, name, file, _dir: dir }
    };
    [
        make(&format!("blk,size=4M{options}"), "in memory", None, None),
        make(&in_file, "in a file", Some(path), Some(dir)),
    ]
}

fn header(kind: u32, sector: u64) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat()
}

fn range(sector: u64, sectors: u32, flags: u32) -> Vec<u8> {
    [&sector.to_le_bytes()[..], &sectors.to_le_bytes(), &flags.to_le_bytes()].concat()
}

impl Disk {
    fn send(&mut self, parts: &[Part]) -> u8 {
        status(&self.rig.exchange(parts))
    }

    fn write(&mut self, sector: u64, data: &[u8]) -> u8 {
        self.send(&[Part::Read(header(OUT, sector)), Part::Read(data.to_vec()), Part::Write(1)])
    }

    fn read(&mut self, sector: u64, len: usize) -> Vec<u8> {
        let used = self.rig.exchange(&[Part::Read(header(IN, sector)), Part::Write(len), Part::Write(1)]);
        assert_eq!(status(&used), OK, "{}", self.name);
        assert_eq!(used.written as usize, len + 1, "{}: all of it was written", self.name);
        used.bytes[..len].to_vec()
    }

    fn ranges(&mut self, kind: u32, data: &[u8]) -> u8 {
        self.send(&[Part::Read(header(kind, 0)), Part::Read(data.to_vec()), Part::Write(1)])
    }

    fn figure(&self, name: &str) -> u64 {
        self.device.figures().iter().find(|figure| figure.name == name).unwrap().value
    }
}

fn status(used: &Used) -> u8 {
    *used.bytes.last().unwrap()
}

#[test]
fn what_is_written_is_read() {
    for mut disk in disks("") {
        let data: Vec<u8> = (0..8192_u32).map(|i| (i / 7) as u8).collect();
        assert_eq!(disk.write(3, &data), OK);
        assert_eq!(disk.read(3, 8192), data, "{}", disk.name);
        assert_eq!(disk.read(4, 512), data[512..1024], "{}", disk.name);
        assert_eq!(disk.read(2, 512), [0; 512], "{}: what was not written is zero", disk.name);
        assert_eq!(disk.write(SIZE / 512 - 1, &[9; 512]), OK, "{}: the last sector", disk.name);
        assert_eq!(disk.read(SIZE / 512 - 1, 512), [9; 512]);
    }
}

/// 2.7.4, again: header, data and status may share descriptors, or be cut anywhere.
#[test]
fn a_request_may_be_cut_anywhere() {
    for mut disk in disks("") {
        let message = [header(OUT, 8), vec![0x5a; 1024]].concat();
        for cut in [1, 8, 15, 16, 17, 512, 1039] {
            let (front, back) = message.split_at(cut);
            let parts = [Part::Read(front.to_vec()), Part::Read(back.to_vec()), Part::Write(1)];
            assert_eq!(disk.send(&parts), OK, "{}: {cut}", disk.name);
        }
        let used = disk.rig.exchange(&[Part::Read(header(IN, 8)), Part::Write(100), Part::Write(925)]);
        assert_eq!(used.bytes, [vec![0x5a; 1024], vec![OK]].concat(), "{}", disk.name);
    }
}

/// 5.2.6.2: beyond the end of the disk, or not of whole sectors, is an error; and nothing is written.
#[test]
fn a_request_outside_the_disk_is_refused() {
    let last = SIZE / 512;
    for mut disk in disks("") {
        for (sector, len) in
            [(last, 512), (last - 1, 1024), (u64::MAX, 512), (u64::MAX / 512, 512), (0, 511), (0, 513)]
        {
            let name = disk.name;
            assert_eq!(disk.write(sector, &vec![1; len]), IOERR, "{name}: {sector} {len}");
            let parts = [Part::Read(header(IN, sector)), Part::Write(len), Part::Write(1)];
            assert_eq!(disk.send(&parts), IOERR, "{name}: {sector} {len}");
            assert_eq!(
                disk.ranges(DISCARD, &range(sector, 2, 0)),
                if len > 511 && sector > 0 { IOERR } else { OK }
            );
        }
        assert_eq!(disk.read(last - 1, 512), [0; 512]);
        assert_eq!(disk.figure("blk.writes"), 0);
    }
}

/// A header that is too short, data the wrong way round, a request that nobody knows.
#[test]
fn nonsense_gets_a_status() {
    for mut disk in disks("") {
        let name = disk.name;
        assert_eq!(disk.send(&[Part::Write(1)]), IOERR, "{name}: no header");
        assert_eq!(disk.send(&[Part::Read(vec![0; 15]), Part::Write(1)]), IOERR, "{name}: half a header");
        let parts = [Part::Read(header(IN, 0)), Part::Read(vec![0; 512]), Part::Write(1)];
        assert_eq!(disk.send(&parts), IOERR, "{name}: a read with data to read");
        let parts = [Part::Read(header(OUT, 0)), Part::Write(512), Part::Write(1)];
        assert_eq!(disk.send(&parts), IOERR, "{name}: a write with room to write");
        for kind in [2, 3, 5, 7, 14, 0xffff_ffff] {
            assert_eq!(
                disk.send(&[Part::Read(header(kind, 0)), Part::Write(1)]),
                UNSUPP,
                "{name}: type {kind}"
            );
        }
        assert!(!disk.rig.is_stopped(), "{name}");
        assert_eq!(disk.figure("blk.refused"), 10, "{name}");
    }
}

/// Without a byte to put the status into, there is no answer.
#[test]
fn a_request_without_room_for_a_status_stops_the_queue() {
    for mut disk in disks("") {
        disk.rig.driver.send(&[Part::Read(header(FLUSH, 0))]);
        disk.rig.round();
        assert!(disk.rig.is_stopped(), "{}", disk.name);
    }
}

/// 5.2.6.1: "a string of up to 20 bytes, NUL-terminated if it is shorter".
#[test]
fn the_serial_is_told() {
    for mut disk in disks(",serial=ABC-1") {
        let used = disk.rig.exchange(&[Part::Read(header(GET_ID, 0)), Part::Write(20), Part::Write(1)]);
        assert_eq!(used.bytes, [&b"ABC-1"[..], &[0; 15], &[OK]].concat(), "{}", disk.name);
        let used = disk.rig.exchange(&[Part::Read(header(GET_ID, 0)), Part::Write(3), Part::Write(1)]);
        assert_eq!(used.bytes, b"ABC\0", "{}: as much as there is room for", disk.name);
    }
}

#[test]
fn discard_gives_room_back() {
    for mut disk in disks("") {
        assert_eq!(disk.write(0, &vec![7; 1 << 20]), OK);
        if let Some(file) = &disk.file {
            assert!(std::fs::metadata(file).unwrap().blocks() >= 2048);
        }
        let two = [range(0, 1024, 0), range(1024, 1000, 0)].concat();
        assert_eq!(disk.ranges(DISCARD, &two), OK, "{}", disk.name);
        assert_eq!(disk.read(0, 512), [0; 512]);
        assert_eq!(disk.read(2024, 512), [7; 512], "{}: no more than was said", disk.name);
        if let Some(file) = &disk.file {
            assert!(std::fs::metadata(file).unwrap().blocks() <= 64);
        }
        assert_eq!(disk.figure("blk.discards"), 1);
    }
}

/// 5.2.6.2: a discard with a flag is not supported; nor a write of zeroes with one that is unknown.
#[test]
fn ranges_have_rules() {
    for mut disk in disks("") {
        let name = disk.name;
        for (what, kind, data, expected) in [
            ("unmap in a discard", DISCARD, range(0, 1, 1), UNSUPP),
            ("an unknown flag", DISCARD, range(0, 1, 2), UNSUPP),
            ("an unknown flag", WRITE_ZEROES, range(0, 1, 2), UNSUPP),
            ("no range", DISCARD, vec![], IOERR),
            ("half a range", DISCARD, vec![0; 15], IOERR),
            ("too many", DISCARD, vec![0; 17 * 16], IOERR),
            ("as many as may be", DISCARD, vec![0; 16 * 16], OK),
            ("too long", WRITE_ZEROES, range(0, u32::MAX, 0), IOERR),
            ("of nothing", WRITE_ZEROES, range(5, 0, 0), OK),
        ] {
            assert_eq!(disk.ranges(kind, &data), expected, "{name}: {what}");
        }
    }
}

#[test]
fn zeroes_are_written_with_and_without_room() {
    for mut disk in disks("") {
        for unmap in [0, 1] {
            assert_eq!(disk.write(0, &vec![7; 1 << 20]), OK);
            assert_eq!(disk.ranges(WRITE_ZEROES, &range(1, 2046, unmap)), OK, "{}", disk.name);
            let expected = [vec![7; 512], vec![0; 2046 * 512], vec![7; 512]].concat();
            assert_eq!(disk.read(0, 1 << 20), expected, "{}, unmap {unmap}", disk.name);
            if let Some(file) = &disk.file {
                let blocks = std::fs::metadata(file).unwrap().blocks();
                assert_eq!(blocks > 1024, unmap == 0, "{blocks} blocks with unmap {unmap}");
            }
        }
    }
}

/// 5.2.6.2: if `VIRTIO_BLK_F_RO`, whatever would change the disk fails and changes nothing.
#[test]
fn a_read_only_disk_stays_as_it_is() {
    for mut disk in disks(",read-only") {
        assert_eq!(disk.device.features() & 1 << 5, 1 << 5, "VIRTIO_BLK_F_RO");
        assert_eq!(disk.device.features() & (1 << 13 | 1 << 14), 0, "no discard, no write zeroes");
        assert_eq!(disk.write(0, &[1; 512]), IOERR);
        assert_eq!(disk.ranges(DISCARD, &range(0, 8, 0)), IOERR);
        assert_eq!(disk.ranges(WRITE_ZEROES, &range(0, 8, 0)), IOERR);
        assert_eq!(disk.read(0, 512), [0; 512], "{}", disk.name);
        assert_eq!(disk.send(&[Part::Read(header(FLUSH, 0)), Part::Write(1)]), OK);
    }
}

/// 5.2.4 and 5.2.5.
#[test]
fn the_configuration_says_what_the_disk_is() {
    for disk in disks(",queues=3,block-size=4096,queue-size=64") {
        let config = disk.device.config();
        let u32_at = |at: usize| u32::from_le_bytes(config[at..at + 4].try_into().unwrap());
        assert_eq!(u64::from_le_bytes(config[..8].try_into().unwrap()), SIZE / 512);
        assert_eq!(u32_at(12), 62, "segments: the queue less header and status");
        assert_eq!(u32_at(20), 4096, "block size");
        assert_eq!((config[24], u16::from_le_bytes([config[26], config[27]])), (0, 1), "topology");
        assert_eq!(u16::from_le_bytes([config[34], config[35]]), 3, "queues");
        assert_eq!((u32_at(36), u32_at(40), u32_at(44)), (1 << 22, 16, 8), "discard");
        assert_eq!((u32_at(48), u32_at(52), config[56]), (1 << 22, 16, 1), "write zeroes");
        assert_eq!(config.len(), 60);
    }
}

/// 5.2.5.2: with `VIRTIO_BLK_F_CONFIG_WCE` the driver switches the cache by `writeback`, which begins as whether there is flush.
#[test]
fn the_write_cache_is_switched_by_the_driver() {
    for disk in disks("") {
        let device = &disk.device;
        device.negotiated(F_FLUSH | F_CONFIG_WCE);
        assert_eq!(device.config()[32], 1, "{}", disk.name);
        device.write_config(32, &[0]).unwrap();
        assert_eq!(device.config()[32], 0);
        device.negotiated(F_CONFIG_WCE);
        assert_eq!(device.config()[32], 0, "no flush, no cache");
        assert!(device.write_config(32, &[2]).is_err());
        assert!(device.write_config(0, &[0; 8]).is_err(), "the size is not the driver's");
        assert!(device.write_config(usize::MAX, &[1]).is_err());
        assert!(device.write_config(32, &[1, 1]).is_err());
    }
}

/// Writes stay right, and discards too, when each must be durable at once.
#[test]
fn a_disk_without_a_cache_stores_the_same() {
    for mut disk in disks("") {
        disk.device.negotiated(0);
        assert_eq!(disk.write(0, &[3; 4096]), OK, "{}", disk.name);
        assert_eq!(disk.ranges(DISCARD, &range(1, 2, 0)), OK);
        assert_eq!(
            disk.read(0, 4096),
            [vec![3; 512], vec![0; 1024], vec![3; 2560]].concat(),
            "{}",
            disk.name
        );
    }
}

#[test]
fn many_requests_at_once_come_back_in_order() {
    for mut disk in disks("") {
        for round in 0..50_u8 {
            let heads: Vec<_> = (0..5_u64)
                .map(|i| {
                    disk.rig.driver.send(&[
                        Part::Read(header(OUT, i * 8)),
                        Part::Read(vec![round + i as u8; 4096]),
                        Part::Write(1),
                    ])
                })
                .collect();
            let used = disk.rig.wait(5);
            assert_eq!(used.iter().map(|used| used.head).collect::<Vec<_>>(), heads, "{}", disk.name);
            assert!(used.iter().all(|used| status(used) == OK));
        }
        assert_eq!(disk.read(8, 4096), [50; 4096]);
    }
}

#[test]
fn a_file_is_one_disks_alone() {
    let [_, disk] = disks("");
    let spec = format!("blk,file={},read-only", disk.file.as_ref().unwrap().display());
    let error = spec.parse::<DeviceSpec>().unwrap().make().err().unwrap().to_string();
    assert!(error.contains("is in use by another process"), "{error}");
    assert!(error.contains("disk.img"), "{error}");
}

#[test]
fn a_file_that_is_no_disk_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join("odd");
    std::fs::write(&odd, "odd").unwrap();
    for (path, says) in [
        (dir.path().join("missing"), "cannot be opened: No such file"),
        (odd, "it has 3 bytes, and a block has 512"),
        (PathBuf::from("/dev/null"), "neither a file nor a block device"),
    ] {
        let spec: DeviceSpec = format!("blk,file={}", path.display()).parse().unwrap();
        let error = spec.make().err().unwrap().to_string();
        assert!(error.contains(says) && error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_options_of_a_disk_have_bounds() {
    for (spec, says) in [
        ("blk", "blk needs one of `size=..` and `file=..`"),
        ("blk,size=1M,file=/x", "blk needs one of `size=..` and `file=..`"),
        (
            "blk,size=1000",
            "option `size` cannot be `1000`: it is a number of blocks of 512 bytes, at least one",
        ),
        ("blk,size=1M,serial=123456789012345678901", "it has at most 20 bytes"),
        ("blk,size=1M,queues=17", "option `queues` cannot be `17`: it is a number from 1 to 16"),
    ] {
        let error = spec.parse::<DeviceSpec>().unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A request and the disk as it should be.
#[derive(Debug, Clone)]
enum Action {
    Write(u64, Vec<u8>),
    Zero(u64, u32, u32),
    Discard(u64, u32),
    Flush,
}

fn action() -> impl Strategy<Value = Action> {
    let sector = 0..64_u64;
    prop_oneof![
        (sector.clone(), 1..9_usize, any::<u8>())
            .prop_map(|(s, n, byte)| Action::Write(s, vec![byte; n * 512])),
        (sector.clone(), 0..20_u32, 0..2_u32).prop_map(|(s, n, unmap)| Action::Zero(s, n, unmap)),
        (sector, 0..20_u32).prop_map(|(s, n)| Action::Discard(s, n)),
        Just(Action::Flush),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Any requests leave on the disk what they would leave in an array.
    #[test]
    fn a_disk_is_an_array(actions in prop::collection::vec(action(), 1..40)) {
        for mut disk in disks("") {
            let mut model = vec![0; 64 << 10];
            for action in &actions {
                let outcome = match action {
                    Action::Write(sector, data) => {
                        let at = *sector as usize * 512;
                        model[at..at + data.len()].copy_from_slice(data);
                        disk.write(*sector, data)
                    }
                    Action::Zero(sector, sectors, flags) => {
                        let at = *sector as usize * 512;
                        model[at..at + *sectors as usize * 512].fill(0);
                        disk.ranges(WRITE_ZEROES, &range(*sector, *sectors, *flags))
                    }
                    Action::Discard(sector, sectors) => {
                        let at = *sector as usize * 512;
                        model[at..at + *sectors as usize * 512].fill(0);
                        disk.ranges(DISCARD, &range(*sector, *sectors, 0))
                    }
                    Action::Flush => disk.send(&[Part::Read(header(FLUSH, 0)), Part::Write(1)]),
                };
                prop_assert_eq!(outcome, OK);
            }
            prop_assert_eq!(disk.read(0, 64 << 10), model, "{}", disk.name);
        }
    }
}

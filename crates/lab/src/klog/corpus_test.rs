// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules against the corpus: files of console text in `corpus/`, each with the names of the rules that must be found
//! in it, in this order. `# complaints: none` marks the healthy logs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Complaint, Line, RULES, parse, scan};

struct Sample {
    name: String,
    expected: Vec<String>,
    text: String,
}

fn samples() -> Vec<Sample> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/klog/corpus");
    let entries = fs::read_dir(folder).expect("the corpus is there");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files.iter().map(|file| sample(file)).collect()
}

fn sample(file: &Path) -> Sample {
    let name = file.file_name().expect("a file").to_string_lossy().into_owned();
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{name}: {e}"));
    let head = text.lines().find_map(|line| line.strip_prefix("# complaints: "));
    let expected = head.unwrap_or_else(|| panic!("{name} does not say what it holds"));
    let expected = expected.split(", ").filter(|name| *name != "none").map(str::to_owned).collect();
    Sample { name, expected, text }
}

fn found(sample: &Sample) -> Vec<Complaint> {
    scan(&parse::console(&sample.text))
}

#[test]
fn each_sample_gives_what_it_says() {
    let wrong = samples().into_iter().filter_map(|sample| {
        let names: Vec<_> = found(&sample).iter().map(|complaint| complaint.rule.name).collect();
        (names != sample.expected).then_some((sample.name, sample.expected, names))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "file, what it says, what was found: {wrong:#?}");
}

#[test]
fn each_rule_has_a_sample() {
    let seen: BTreeSet<String> = samples().into_iter().flat_map(|sample| sample.expected).collect();
    let missing: Vec<_> = RULES.iter().map(|rule| rule.name).filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "no sample for {missing:?}");
}

#[test]
fn each_complaint_reads_as_a_sentence() {
    for complaint in samples().iter().flat_map(found) {
        let text = complaint.to_string();
        let (sentence, lines) = text.split_once('\n').expect("a sentence and lines");
        assert!(sentence.starts_with("the kernel complained (") && sentence.contains(complaint.rule.meaning));
        assert!(lines.lines().all(|line| line.starts_with("    ")));
    }
}

/// The same lines as `/dev/kmsg` would give them: a record for each, with what cannot be printed escaped.
fn as_kmsg(sample: &Sample) -> Vec<Line> {
    let console = parse::console(&sample.text).into_iter();
    let records = console.filter_map(|line| Some((line.micros?, line.text))).enumerate();
    let records = records.map(|(sequence, (micros, text))| {
        let text = text.replace('\\', r"\x5c").replace('\t', r"\x09");
        format!("4,{sequence},{micros},-;{text}\n")
    });
    records.flat_map(|record| parse::kmsg(&record).expect("a record")).collect()
}

#[test]
fn kmsg_and_console_agree() {
    for sample in samples() {
        let complaints = scan(&as_kmsg(&sample));
        let names: Vec<_> = complaints.iter().map(|complaint| complaint.rule.name).collect();
        assert_eq!(names, sample.expected, "{}", sample.name);
    }
}

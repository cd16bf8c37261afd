//! The journal of a study: a line of JSON for every run that ended, from which a study that was cut goes on.

use super::cells::Cell;
use super::record::Record;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The first line: whose runs these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// The fingerprint of the study.
    pub study: String,
    /// What decides which bits the device computes.
    pub machine: String,
    /// The sources, with the rows of each for training and for the test, and a sum over the first of them.
    pub data: Vec<(String, usize, usize, String)>,
}

/// The runs that ended, in a file or in memory alone.
#[derive(Debug)]
pub(super) struct Journal {
    file: Option<(File, PathBuf)>,
    pub runs: Vec<Record>,
}

impl Journal {
    /// In memory alone.
    pub fn in_memory() -> Self {
        Journal { file: None, runs: vec![] }
    }

    /// Opens the journal of this study, or begins it. A last line that is torn is taken away: its run is done again.
    ///
    /// Fails on the journal of another study, on a damaged one, and while another program runs the study.
    pub fn open(path: &Path, head: &Head) -> Result<Self> {
        let io = |e| Error::io("write", path, e);
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        if path.exists() {
            // a pipe would wait, a folder is no journal
            crate::disk::open(path).map_err(|e| Error::io("read", path, e))?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(bad(path, "another program runs this study".into(), "its journal", "wait for it, or give another folder"));
            }
            // some file systems have no locks
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|e| Error::io("read", path, e))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).map_err(io)?;
        }
        file.seek(SeekFrom::Start(whole as u64)).map_err(io)?;
        let text = std::str::from_utf8(&bytes[..whole]).map_err(|e| bad(path, e.to_string(), "its text", DAMAGED))?;
        let mut lines = text.lines().enumerate();
        let mut journal = Journal { file: Some((file, path.into())), runs: vec![] };
        match lines.next() {
            None => journal.append(head)?,
            Some((_, line)) => same(&read(path, 0, line)?, head, path)?,
        }
        journal.runs = lines.map(|(i, line)| read(path, i, line)).collect::<Result<_>>()?;
        Ok(journal)
    }

    /// Adds a run, on the disk before it returns.
    pub fn add(&mut self, run: Record) -> Result<&Record> {
        self.append(&run)?;
        self.runs.push(run);
        self.runs.last().ok_or_else(|| bad(Path::new("the journal"), "no run is in it".into(), "its end", DAMAGED))
    }

    /// Fails where another arm than this one, which is chosen by `by`, has looked at the test set: with more seeds the choice may be another.
    pub fn check_choice(&self, chosen: &Cell, by: &str) -> Result<()> {
        let Some(other) = self.runs.iter().find(|r| r.tested && r.arms != chosen.names) else { return Ok(()) };
        let path = self.file.as_ref().map_or(Path::new("the journal"), |(_, path)| path);
        let names = |arms: &[String]| arms.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ");
        let problem =
            format!("the arm {} was chosen and tested, and now {} is the best by `{by}`", names(&other.arms), names(&chosen.names));
        let help = "the test set is touched once: stay with the seeds of before and that choice; or begin anew in another folder (the example: `--fresh`), with \
                    rows for its test that no arm has seen";
        Err(bad(path, problem, "its tested runs", help))
    }

    fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let Some((file, path)) = &mut self.file else { return Ok(()) };
        let mut text = serde_json::to_string(line).map_err(|e| bad(path, e.to_string(), "a line to be written", DAMAGED))?;
        text.push('\n');
        // one write: what a kill leaves is the whole line or a part without its end
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).map_err(|e| Error::io("write", path.as_path(), e))
    }
}

const DAMAGED: &str = "take the file away, and the study begins anew";

fn read<T: for<'de> Deserialize<'de>>(path: &Path, number: usize, line: &str) -> Result<T> {
    serde_json::from_str(line).map_err(|e| bad(path, e.to_string(), &format!("line {}", number + 1), DAMAGED))
}

fn same(found: &Head, wanted: &Head, path: &Path) -> Result<()> {
    let differs = |what: &str, found: String, wanted: String| {
        let problem = format!("it is the journal of another study: its {what} is {found}, not {wanted}");
        bad(path, problem, "line 1", "give another folder, or begin anew (the example: `--fresh`)")
    };
    if found.study != wanted.study {
        return Err(differs("fingerprint", found.study.clone(), wanted.study.clone()));
    }
    if found.machine != wanted.machine {
        return Err(differs("machine", format!("`{}`", found.machine), format!("`{}`", wanted.machine)));
    }
    if found.data != wanted.data {
        return Err(differs("data", format!("{:?}", found.data), format!("{:?}", wanted.data)));
    }
    Ok(())
}

fn bad(path: &Path, problem: String, at: &str, help: &str) -> Error {
    Error::BadFile { path: path.into(), problem, at: at.into(), help: help.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(study: &str) -> Head {
        Head { study: study.into(), machine: "m".into(), data: vec![("mnist".into(), 60_000, 10_000, "0".into())] }
    }

    fn record(seed: u64) -> Record {
        let text = format!(r#"{{"arms":["a"],"seed":{seed},"seconds":0.1,"values":{{"loss":0.1,"test_f1":"nan:7ff8000000000000"}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    /// Whatever a kill has left of the last line, the runs before it are there and the next one follows them.
    #[test]
    fn a_torn_line_is_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/journal.jsonl");
        let mut j = Journal::open(&path, &head("one")).unwrap();
        (0..3).for_each(|s| assert!(j.add(record(s)).is_ok()));
        drop(j);
        let bytes = std::fs::read(&path).unwrap();
        let ends: Vec<usize> = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let mut j = Journal::open(&path, &head("one")).unwrap();
            let whole = ends.iter().filter(|e| **e <= cut).count().saturating_sub(1);
            assert_eq!(j.runs.len(), whole, "cut at {cut}");
            (whole as u64..3).for_each(|s| assert!(j.add(record(s)).is_ok()));
            drop(j);
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "cut at {cut}");
        }
        let j = Journal::open(&path, &head("one")).unwrap();
        assert!(j.runs[2].get("test_f1").unwrap().is_nan() && j.runs[2].get("loss") == Some(0.1));
    }

    #[test]
    fn what_is_no_journal_of_this_study() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let fails = |head: &Head, says: &str| {
            let e = Journal::open(&path, head).unwrap_err();
            assert!(e.code() == "bad-file" && e.to_string().contains(says), "{e}");
        };
        let mut j = Journal::open(&path, &head("one")).unwrap();
        fails(&head("one"), "another program runs this study");
        j.add(record(0)).unwrap();
        drop(j);
        fails(&head("two"), "another study");
        fails(&Head { machine: "n".into(), ..head("one") }, "machine");
        fails(&Head { data: vec![], ..head("one") }, "data");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("\"seed\"", "\"sead\"") + "{}\n").unwrap();
        fails(&head("one"), "line 2");
        assert_eq!(Journal::open(folder.path(), &head("one")).unwrap_err().code(), "io");
    }
}

//! The journal of a study: one that is killed at any moment and started again ends with the same table, and does no run twice.

use super::{child, ended};
use gradus::prelude::*;
use gradus::study::{Event, RunOptions, Study, Table};
use gradus::train::{Budget, DataSpec, HeldOut, Recipe};
use std::path::Path;
use std::time::Duration;

fn study() -> Study {
    let net = Sequential::new().add(Linear::new(12)).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Adam::new(1e-2), CrossEntropy::new()).input([784]).metric(Accuracy::new());
    let data = DataSpec::new("synthetic:200:80").flatten().scale(1.0 / 255.0).validation(HeldOut::Share(0.2)).test(HeldOut::Test);
    let recipe = Recipe::new(&net, &settings, &Fit::new().batch_size(20), data).unwrap();
    Study::new(recipe).axis("optimizer.lr", [1e-2, 1e-3, 1e-4]).seeds(0..8).budget(Budget::updates(30)).select("val_loss")
}

/// The study with its journal in this file.
pub fn run(journal: &Path) -> Table {
    study().run_with(&Device::cpu_threads(2), &RunOptions::new().journal(journal), |_| {}).unwrap()
}

fn without_seconds(mut t: Table) -> String {
    t.rows.iter_mut().for_each(|r| r.seconds = None);
    t.to_csv() + &t.to_markdown()
}

#[test]
fn a_killed_study_goes_on_to_the_same_table() {
    let folder = tempfile::tempdir().unwrap();
    let whole = without_seconds(run(&folder.path().join("whole.jsonl")));
    let all = 3 * 8 + 8;
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default().lines().count();
    assert_eq!(lines(&folder.path().join("whole.jsonl")), 1 + all);
    let mut cut = 0;
    for (round, most) in [(0u64, 3), (1, 12), (2, 27)] {
        let path = folder.path().join(format!("{round}.jsonl"));
        // again and again until it has so many lines, each time for another while
        for again in 0..200u64 {
            let mut c = child("study", &path).spawn().unwrap();
            let before = lines(&path);
            while lines(&path) <= before && c.try_wait().unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis((again * 37 + round * 13) % 29));
            c.kill().unwrap(); // SIGKILL, on Unix
            let _ = c.wait().unwrap();
            cut += usize::from(lines(&path) < 1 + all);
            if lines(&path) > most {
                break;
            }
        }
        let left = lines(&path);
        assert!(left > most, "{left} lines of more than {most}");
        // what a kill may leave, and here did not: half a line
        let text = std::fs::read_to_string(&path).unwrap();
        let torn = &text[..text.trim_end().len() - 9];
        std::fs::write(&path, torn).unwrap();
        let had = torn.lines().count() - 2;
        let mut ran = 0;
        let on = study()
            .run_with(&Device::cpu_threads(2), &RunOptions::new().journal(&path), |e| ran += usize::from(matches!(e, Event::Ran(_))));
        assert_eq!((ran, without_seconds(on.unwrap()) == whole), (all - had, true), "round {round}");
    }
    assert!(cut >= 3, "only {cut} of the children were killed before their end");
    // nothing is left to do, and the table is made of the journal alone
    let ended_one = folder.path().join("whole.jsonl");
    ended(child("study", &ended_one).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap());
    assert_eq!(lines(&ended_one), 1 + all);
    // more seeds go on with it; another study does not
    let with = |s: Study| s.run_with(&Device::cpu_threads(2), &RunOptions::new().journal(&ended_one), |_| {});
    let table = with(study().seeds(0..9)).unwrap();
    assert!(table.rows.iter().all(|r| r.runs == 9), "{table}");
    for other in [study().budget(Budget::updates(31)), study().time(true)] {
        let e = with(other).unwrap_err();
        assert!(e.code() == "bad-file" && e.to_string().contains("another study"), "{e}");
    }
}

/// Seconds that were measured with other threads are not compared; where no time is, threads do not count.
#[test]
fn a_journal_of_times() {
    let folder = tempfile::tempdir().unwrap();
    let with = |time: bool, threads: usize| {
        let options = RunOptions::new().journal(folder.path().join(format!("{time}.jsonl")));
        study().time(time).seeds(0..1).budget(Budget::updates(2)).run_with(&Device::cpu_threads(threads), &options, |_| {})
    };
    for time in [false, true] {
        with(time, 2).unwrap();
        assert!(with(time, 2).is_ok());
    }
    assert!(with(false, 1).is_ok());
    let e = with(true, 1).unwrap_err();
    assert!(e.code() == "bad-file" && e.to_string().contains("its machine is") && e.to_string().contains("2 threads`"), "{e}");
}

/// The test set is touched once: where more seeds choose another arm than the one that was tested, nothing more is tested.
#[test]
fn a_second_choice_is_no_choice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let on = || {
        let options = RunOptions::new().journal(&path);
        study().seeds(0..2).budget(Budget::updates(5)).run_with(&Device::cpu_threads(2), &options, |_| {})
    };
    let table = on().unwrap();
    let chosen = &table.rows[table.chosen.unwrap()].arms[0];
    let other = table.rows.iter().map(|r| &r.arms[0]).find(|a| *a != chosen).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let as_if = |line: &str| if line.contains("\"tested\":true") { line.replace(chosen.as_str(), other) } else { line.into() } + "\n";
    let changed: String = text.lines().map(as_if).collect();
    assert_ne!(changed, text);
    std::fs::write(&path, &changed).unwrap();
    let e = on().unwrap_err().to_string();
    assert!(e.contains(&format!("`{other}` was chosen and tested, and now `{chosen}` is the best by `val_loss`")), "{e}");
    assert!(e.contains("journal.jsonl") && e.contains("stay with the seeds of before"), "{e}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), changed);
}

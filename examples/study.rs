//! Runs a study from a file and writes its table: `cargo run --release --example study -- studies/digits.toml`, and with `-- --help` the flags.
//!
//! What ended is noted in a journal beside the table: started again after Ctrl-C, a crash or a loss of power it goes on from there, to the same table.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use gradus::prelude::*;
use gradus::study::{Event, Power, Record, RunOptions, Study, Table};
use gradus::train::Registry;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(about = "Runs a study from a file, and writes its table as text, Markdown, CSV and lines of JSON")]
struct Flags {
    /// The study, in TOML: docs/studies.md says what stands in it
    file: PathBuf,
    /// Its brief form, by its table `small`
    #[arg(long)]
    small: bool,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
    /// Where the journal and the tables are written [default: runs/NAME of the file]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Begin anew, whatever the journal has
    #[arg(long)]
    fresh: bool,
    /// Runs beside each other on the CPU [default: one for each of its threads; 1 where the study compares times]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
}

/// Reads a study; its `base` may be the path of a recipe, from the study's folder.
fn read(file: &Path) -> Result<Study> {
    let text = text(file)?;
    let table: toml::Table = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
    let Some(base) = table.get("base").and_then(toml::Value::as_str) else {
        // from the text itself: the error knows its line
        return toml::from_str(&text).with_context(|| format!("in {}", file.display()));
    };
    let recipe = file.parent().unwrap_or(Path::new("")).join(base);
    let base: toml::Table = toml::from_str(&self::text(&recipe)?).with_context(|| format!("in {}", recipe.display()))?;
    let mut table = table;
    table.insert("base".into(), base.into());
    table.try_into().with_context(|| format!("in {}, whose base is {}", file.display(), recipe.display()))
}

fn text(file: &Path) -> Result<String> {
    const MOST: u64 = 16 << 20;
    let meta = std::fs::metadata(file).with_context(|| format!("could not read {}", file.display()))?;
    ensure!(meta.is_file() && meta.len() < MOST, "{} is no study: it is no file, or has {MOST} bytes and more", file.display());
    std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))
}

/// What a base may name as its model, with the number of classes as its `config`: networks that are no chain of layers.
fn networks() -> Registry {
    Registry::new().with("resnet20", models::resnet20)
}

/// The folder of the study's files: of its own for the brief form, which is another study.
fn folder(flags: &Flags) -> PathBuf {
    let name = flags.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let default = || PathBuf::from("runs").join(if flags.small { format!("{name}-small") } else { name });
    flags.out.clone().unwrap_or_else(default)
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} runs  {elapsed_precise}, {eta_precise} left  {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("█▌░"))
}

/// One line for what the seeds show.
fn shows(p: &Power) -> String {
    format!(
        "{}: {} runs have a deviation of {:.4} in {}; {} seeds show a difference of {:.4} to it",
        p.arms.join(", "),
        p.pilots,
        p.deviation,
        p.column,
        p.seeds,
        p.detectable
    )
}

fn ran(r: &Record) -> String {
    let state = r.error.as_deref().map_or_else(|| format!("{:.2} s", r.seconds), |e| e.lines().next().unwrap_or("failed").to_string());
    format!("{}, seed {}: {state}", r.arms.join(", "), r.seed)
}

fn run(flags: &Flags, study: &Study, device: &Device, folder: &Path) -> Result<Table> {
    let journal = folder.join("journal.jsonl");
    if flags.fresh && journal.exists() {
        std::fs::remove_file(&journal).with_context(|| format!("could not remove {}", journal.display()))?;
    }
    let mut options = RunOptions::new().journal(journal).registry(networks());
    options.workers = flags.workers;
    let bar = bar();
    let table = study.run_with(device, &options, |event| match event {
        Event::Begins { runs, done } => {
            bar.set_length(runs as u64);
            bar.set_position(done as u64);
            bar.reset_eta();
        }
        Event::Shows(power) => power.iter().for_each(|p| bar.suspend(|| eprintln!("{}", shows(p)))),
        Event::Chosen(arms) => {
            bar.suspend(|| eprintln!("chosen: {}; its runs once more, on the test set", arms.join(", ")));
        }
        Event::Ran(record) => {
            bar.inc(1);
            bar.set_message(ran(record));
        }
        _ => {}
    });
    bar.finish_and_clear();
    let table = table?;
    table.save(folder)?;
    #[cfg(feature = "plot")]
    picture(&table, folder)?;
    Ok(table)
}

/// `table.svg`, where the first axis counts something (rows, say): how far each arm of the others is from the first of them, over that.
#[cfg(feature = "plot")]
fn picture(table: &Table, folder: &Path) -> Result<()> {
    use gradus::train::plot::{Figure, Panel};
    let count = |arm: &String| arm.parse::<f64>().ok().filter(|v| *v > 0.0);
    if table.axes.len() < 2 || !table.rows.iter().all(|r| r.arms.first().and_then(count).is_some()) {
        return Ok(());
    }
    let mut arms: Vec<&[String]> = table.rows.iter().map(|r| &r.arms[1..]).collect();
    let mut seen = std::collections::HashSet::new();
    arms.retain(|a| seen.insert(*a));
    let mut figure = Figure::new();
    for column in &table.shown {
        let mut panel = Panel::new(format!("{column}: difference to {}", arms[0].join(", "))).x_label(format!("{}, log10", table.axes[0]));
        for arm in &arms {
            let of = |r: &gradus::study::Row| {
                let value = table.value(r, column)?;
                let to = value.difference.map_or(0.0, |d| d.mean);
                Some((count(&r.arms[0])?.log10(), to))
            };
            panel = panel.line(arm.join(", "), table.rows.iter().filter(|r| r.arms[1..] == **arm).filter_map(of));
        }
        figure = figure.panel(panel);
    }
    Ok(figure.save(folder.join("table.svg"))?)
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let study = read(&flags.file)?;
    let study = if flags.small { study.smaller()? } else { study };
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let folder = folder(&flags);
    eprintln!("{} runs on {device}; journal and tables in {}", study.check()?, folder.display());
    let table = run(&flags, &study, &device, &folder)?;
    // a reader who has seen enough (`| head`) is no fault
    let _ = writeln!(std::io::stdout(), "{table}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn studies() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("studies")
    }

    /// Every study of the folder, whole and small, is one that can run.
    #[test]
    fn the_studies_of_the_folder_are_sound() {
        let mut seen = 0;
        for entry in std::fs::read_dir(studies()).unwrap() {
            let study = read(&entry.unwrap().path()).unwrap();
            let (all, few) = (study.check().unwrap(), study.clone().smaller().unwrap().check().unwrap());
            assert!(few < all, "{}: {few} of {all}", study.name);
            // a file may hold what was read from one
            assert_eq!(toml::from_str::<Study>(&toml::to_string(&study).unwrap()).unwrap(), study);
            seen += 1;
        }
        assert!(seen > 1);
    }

    /// A base that stands in a file of its own, and errors that name their file.
    #[test]
    fn a_base_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let whole = read(&studies().join("digits.toml")).unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("recipe.toml"), toml::to_string(&whole.base).unwrap()).unwrap();
        std::fs::write(at("study.toml"), "seeds = [7, 8]\nbase = \"recipe.toml\"\n[[axis]]\npath = \"optimizer.lr\"\nvalues = [0.1]\n")
            .unwrap();
        let study = read(&at("study.toml")).unwrap();
        assert_eq!((&study.base, &study.seeds[..], study.axes[0].arms[0].name.as_str()), (&whole.base, &[7, 8][..], "0.1"));
        std::fs::write(at("study.toml"), "base = \"none.toml\"\n").unwrap();
        assert!(format!("{:#}", read(&at("study.toml")).unwrap_err()).contains("none.toml"));
        std::fs::write(at("study.toml"), "sedes = 3\n").unwrap();
        assert!(format!("{:#}", read(&at("study.toml")).unwrap_err()).contains("sedes"));
    }
}

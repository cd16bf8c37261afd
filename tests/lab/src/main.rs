//! Compiles the kernels of some training steps with the drivers of GPUs that are not here, and holds what came out against a table.
//! `tests/lab.sh` starts it and knows the drivers; `docs/gpu-lab.md` has the table and says what it proves.

mod chip;
mod dialects;
mod driver;
mod figures;
mod listing;
mod steps;
mod table;

use chip::Chip;
use rayon::prelude::*;
use std::path::Path;
use std::process::ExitCode;
use table::Table;

const USAGE: &str = "\
gradus-lab check LAB PAGE FOLDER [--write] CHIP..   all kernels on these chips, against the page's table
gradus-lab kernel LAB CHIP FILE..                   what a chip's compiler makes of WGSL files

where `LAB run CHIP PROGRAM ARGS..` starts a program under that chip's driver, and this program so:

gradus-lab steps FOLDER                             plans the steps, makes their pipelines, writes the kernels
gradus-lab compile FILE                             compiles one; leaves what came out beside it";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["check", lab, page, folder, rest @ ..] => check(lab, Path::new(page), Path::new(folder), rest),
        ["kernel", lab, chip, files @ ..] => kernels(&Chip { lab, name: chip }, files),
        ["steps", folder] => steps::write(Path::new(folder)),
        ["compile", file] => driver::compile(Path::new(file)),
        _ => Err(USAGE.into()),
    };
    let Err(told) = done else { return ExitCode::SUCCESS };
    eprintln!("lab: {told}");
    ExitCode::FAILURE
}

/// What is wrong with a file.
fn fault(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{}: {e}", path.display())
}

fn kernels(chip: &Chip, files: &[&str]) -> Result<(), String> {
    let mut failed = 0;
    for file in files {
        match chip.kernel(Path::new(file)) {
            Ok(figures) => println!("{file}: {figures}"),
            Err(why) => {
                failed += 1;
                println!("{file}: {why}");
            }
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} failed", files.len())) }
}

fn check(lab: &str, page: &Path, folder: &Path, rest: &[&str]) -> Result<(), String> {
    let (write, chips) = rest.strip_prefix(&["--write"]).map_or((false, rest), |chips| (true, chips));
    let text = std::fs::read_to_string(page).map_err(fault(page))?;
    let old = Table::of_page(&text)?;
    let measured = |name: &&str| measured(&Chip { lab, name }, &folder.join(name));
    let mut new = Table::default();
    for part in chips.par_iter().map(measured).collect::<Vec<_>>() {
        new.add(part?);
    }
    let report = new.against(&old);
    report.told.iter().for_each(|line| println!("{line}"));
    report.wrong.iter().for_each(|line| println!("WRONG {line}"));
    if write {
        std::fs::write(page, new.written_into(&text)?).map_err(fault(page))?;
        println!("lab: {} has the new table", page.display());
    }
    let (kernels, wrong) = (new.compiled(), report.wrong.len());
    println!("lab: {kernels} kernels compiled for {}; {wrong} wrong", chips.join(", "));
    if wrong == 0 {
        Ok(())
    } else {
        Err(format!("{wrong} are wrong. Longer loops and other kernels that are meant: `tests/lab.sh --write`"))
    }
}

/// The column of a chip: its steps planned, and every kernel compiled.
fn measured(chip: &Chip, folder: &Path) -> Result<Table, String> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(fault(folder))?;
    }
    std::fs::create_dir_all(folder).map_err(fault(folder))?;
    let device = chip.run(&["steps", &folder.to_string_lossy()]).map_err(|e| format!("{}: the steps: {e}", chip.name))?;
    let list = steps::read(folder)?;
    println!("{}: {}; {} kernels", chip.name, device.trim(), list.len());
    let cells = list.into_par_iter().map(|(file, title)| (title, chip.kernel(&folder.join(file)))).collect();
    Ok(Table::column(chip.name, &device, cells))
}

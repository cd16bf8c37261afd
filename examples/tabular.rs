//! Prices from a table: `cargo run --release --example tabular`, with `-- --data houses.csv --target price --words town` from a table of one's own.
//!
//! A CSV file with missing values and a column of words becomes a data set; a small network learns the target, and says how well: the root of the mean
//! squared error (RMSE, in the target's unit) and R2, the part of the target's variance that it explains, on rows that it never saw.
//!
//! Where no file is given one is drawn from the seed: made-up houses, with a price by a known rule and noise of 20,000 on it. Nothing can explain that noise, so the best
//! RMSE is 20.

use anyhow::Result;
use clap::Parser;
use gradus::data::{Csv, Split};
use gradus::nn::{R2, Rmse};
use gradus::prelude::*;
use gradus::rng::Philox;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Of the made-up prices, in thousands.
const NOISE: f64 = 20.0;
const TOWNS: [(&str, f64); 4] = [("Bonn", 60.0), ("Kassel", 0.0), ("Muenchen", 220.0), ("Ulm", 40.0)];

#[derive(Parser)]
#[command(about = "Learns a column of a table from the others")]
struct Flags {
    /// A CSV file whose first line has the columns' names [default: 4,000 made-up houses]
    #[arg(long, value_name = "FILE", requires = "target")]
    data: Option<PathBuf>,
    /// The column that is learnt
    #[arg(long, value_name = "COLUMN", requires = "data")]
    target: Option<String>,
    /// The columns of words
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',', requires = "data")]
    words: Vec<String>,
    /// Columns that are left out: names, numbers of rows
    #[arg(long, value_name = "COLUMN,..", value_delimiter = ',', requires = "data")]
    drop: Vec<String>,
    #[arg(long, value_name = "N", default_value_t = 30)]
    epochs: usize,
    /// Of the houses, the split and the weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// auto, gpu, gpu:INDEX, gpu:NAME, software, cpu [default: $GRADUS_DEVICE, else auto]
    #[arg(long, value_name = "CHOICE")]
    device: Option<String>,
}

fn main() -> Result<()> {
    let flags = Flags::parse();
    let folder = tempfile::tempdir()?;
    let (path, mut csv, made_up) = match (&flags.data, &flags.target) {
        (Some(path), Some(target)) => (path.clone(), Csv::new().target(target), false),
        _ => {
            let path = folder.path().join("houses.csv");
            std::fs::write(&path, houses(flags.seed, 4000))?;
            // three values in a hundred are missing: a house of unknown age is taken for one of 45 years
            (path, Csv::new().target("price").one_hot("town").fill_missing_in("age", 45.0), true)
        }
    };
    csv = flags.words.iter().fold(csv, |csv, column| csv.one_hot(column).fill_missing_in(column, "?"));
    csv = flags.drop.iter().fold(csv, |csv, column| csv.drop(column));
    if !made_up {
        csv = csv.fill_missing(0.0);
    }
    let (rmse, r2) = train(&path, &csv, &flags)?;
    println!("test: RMSE {rmse:.2}, R2 {r2:.3}");
    if made_up {
        println!("(made-up houses, seed {}; prices in thousands, whose noise alone has an RMSE of {NOISE:.0})", flags.seed);
    }
    Ok(())
}

/// RMSE and R2 on a fifth of the rows.
fn train(path: &Path, csv: &Csv, flags: &Flags) -> Result<(f64, f64)> {
    let table = csv.read(path)?;
    println!(
        "{}: {} rows; features {}; target {}",
        table.data.name(),
        table.data.len(),
        table.features.join(", "),
        table.targets.join(", ")
    );
    let (train, test) = table.data.split(0.8, Split::seeded(flags.seed))?;
    // Columns have units of their own, metres and years. The first layer brings them to one scale, by what it sees of the training rows alone;
    // a data set that is normalised could do without it.
    let net = Sequential::new().add(BatchNorm1d::new()).add(Linear::new(64)).add(Relu).add(Linear::new(64)).add(Relu).add(Linear::new(1));
    let device = flags.device.as_deref().map_or_else(Device::best, Device::select)?;
    let settings = Compile::new(Adam::new(0.01), Mse::new()).input([table.features.len()]).metric(Rmse::new()).metric(R2::new());
    let mut model = net.compile(settings.device(device).seed(flags.seed))?;
    model.fit(&train, Fit::new().epochs(flags.epochs).batch_size(64).verbose(0))?;
    let seen = model.evaluate(&test, 256)?;
    Ok((seen["rmse"], seen["r2"]))
}

/// A table of made-up houses. The price, in thousands: 3 a square metre, less 1.5 a year of age (down to 100 years), less 8 a kilometre from the middle (down to 10), what
/// the town adds, and noise.
fn houses(seed: u64, rows: usize) -> String {
    let mut draw = Philox::new(seed, "houses");
    let mut out = String::from("size,rooms,age,distance,town,price\n");
    for _ in 0..rows {
        let size = 35.0 + 165.0 * draw.uniform();
        let rooms = (size / 30.0 + 2.0 * draw.uniform()).round();
        let age = (120.0 * draw.uniform()).floor();
        let distance = 15.0 * draw.uniform();
        let (town, worth) = TOWNS[(draw.uniform() * TOWNS.len() as f64) as usize % TOWNS.len()];
        let noise = NOISE * draw.normal();
        let price = 150.0 + 3.0 * size - 1.5 * age.min(100.0) - 8.0 * distance.min(10.0) + worth + noise;
        let age = if draw.uniform() < 0.03 { String::new() } else { age.to_string() };
        let _ = writeln!(out, "{size:.1},{rooms},{age},{distance:.2},{town},{price:.1}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nearly all that can be known is learnt: the noise stays, and what a missing age hides.
    #[test]
    fn houses_are_learnt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("houses.csv");
        std::fs::write(&path, houses(1, 4000)).unwrap();
        let csv = Csv::new().target("price").one_hot("town").fill_missing_in("age", 45.0);
        let flags = Flags::parse_from(["tabular", "--device", "cpu", "--seed", "1"]);
        let (rmse, r2) = train(&path, &csv, &flags).unwrap();
        assert!(rmse > NOISE * 0.9 && rmse < NOISE * 1.5 && r2 > 0.95, "RMSE {rmse}, R2 {r2}");
    }
}

//! The example `forecast` on the data that papers report: ETTh1.

use crate::common::need::Suite;
use gradus::prelude::Device;

#[allow(dead_code)]
#[path = "../../examples/forecast/models.rs"]
mod models;
#[allow(dead_code)]
#[path = "../../examples/forecast/series.rs"]
mod series;

use models::{Kind, Settings};

static SUITE: Suite = Suite::new("forecast", 1);

/// All seven variables, 336 hours in and 96 out: the linear map within 5 % of what Zeng et al. print for DLinear (0.375), and the last value repeated as they print it
/// (1.295, 0.713).
#[test]
fn etth1_as_published() {
    let Some(folder) = SUITE.data(1) else { return };
    let file = folder.join("timeseries/ETTh1.csv");
    let found = series::find(file.to_str()).unwrap();
    let (input, horizon) = (336, 96);
    let parts = series::parts(&found, (input, horizon), series::MONTHS).unwrap();
    assert_eq!([&parts.train, &parts.val, &parts.test].map(|p| p.len()), [8209, 2785, 2785]);
    let settings = Settings { input, horizon, epochs: 10, patience: 5, batch_size: 32, lr: None };
    let run = |kind, seed| models::train(kind, &settings, &parts, &Device::cpu(), seed).unwrap();
    let repeat = run(Kind::Repeat, 0);
    assert!((repeat.mse - 1.295).abs() < 2e-3 && (repeat.mae - 0.713).abs() < 2e-3, "{} {}", repeat.mse, repeat.mae);
    let linear = run(Kind::Linear, 0);
    println!("linear: MSE {:.4}, MAE {:.4}, epoch {:?}", linear.mse, linear.mae, linear.epoch);
    assert!(linear.mse <= 0.375 * 1.05, "{}", linear.mse);
    SUITE.ran(1);
}

//! Schedules against PyTorch's schedulers: the file made by `tests/golden/make_schedules.py`.

use crate::common::need::Suite;
use gradus::optim::Schedule;
use serde_json::Value;

static SUITE: Suite = Suite::new("golden_schedules", 18);

/// PyTorch computes most rates from the rate before and so adds up its roundings: 200 of them, about 1e-14 of the base rate each at worst.
/// The closed form has one. Hence 1e-12 of the rate itself, and below a thousandth of the base rate of that thousandth.
#[test]
fn rates_are_pytorchs() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schedules.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for case in &cases {
        let schedule: Schedule = serde_json::from_value(case["schedule"].clone()).unwrap();
        let rates = case["rates"].as_array().unwrap();
        assert_eq!(rates.len(), 200);
        let mut worst = 0.0f64;
        for (t, want) in rates.iter().enumerate() {
            let (got, want) = (schedule.at(t as u64), want.as_f64().unwrap());
            let off = (got - want).abs() / want.abs().max(1e-3 * schedule.rate());
            assert!(off <= 1e-12, "{}: {got} for {want} at update {t}", case["schedule"]);
            worst = worst.max(off);
        }
        println!("{}: within {worst:.1e}", case["schedule"]);
    }
    SUITE.ran(cases.len());
}

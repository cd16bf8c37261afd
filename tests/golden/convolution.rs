//! Convolutional layers against PyTorch: a file made by `tests/golden/make_convolution.py`.

use crate::common::need::Suite;
use crate::layer::as_in_pytorch;
use serde_json::Value;

static SUITE: Suite = Suite::new("golden_convolution", 2);

/// Every layer and option: output, gradients of input, weight and bias.
#[test]
fn layers_are_pytorchs() {
    let cases: Value = serde_json::from_str(include_str!("convolution.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 14);
    for device in &SUITE.devices() {
        cases.iter().for_each(|case| as_in_pytorch(device, case, true));
        SUITE.ran(1);
    }
}

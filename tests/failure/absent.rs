//! What the suites say where there is no adapter: that they did not run, and with `GRADUS_REQUIRE_GPU=1` that this is a failure.

use crate::common::{Job, Suite, need};
use std::process::{Command, Output};

static SUITE: Suite = Suite::new("absent", 1, || 2, false);

const CHILD: &str = "GRADUS_TEST_ABSENT";
// no suite of its own for those who count the suites' lines
const NAME: &str = "child";

/// This binary again, on a machine without a driver.
fn child(kind: &str, required: bool) -> Result<Output, String> {
    let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    command.args(["--exact", "absent::without_an_adapter", "--nocapture"]).env(CHILD, kind).env("VK_DRIVER_FILES", "/nonexistent");
    command.env("VK_ICD_FILENAMES", "/nonexistent").env("GRADUS_REQUIRE_GPU", if required { "1" } else { "0" }).env_remove("GRADUS_DEVICE");
    command.output().map_err(|e| e.to_string())
}

fn says(kind: &'static str, line: &'static str) -> Job {
    Job::new(kind, move || {
        let told = child(kind, false)?;
        let text = String::from_utf8_lossy(&told.stderr).into_owned();
        if !told.status.success() || !text.contains(line) || !text.contains("no Vulkan adapter") {
            return Err(format!("it should pass and say `{line}`: {}, {text}", told.status));
        }
        let required = child(kind, true)?;
        if required.status.success() {
            return Err("it should fail with GRADUS_REQUIRE_GPU=1".into());
        }
        Ok(())
    })
}

#[test]
fn without_an_adapter() {
    match std::env::var(CHILD).as_deref() {
        Ok("jobs") => return Suite::new(NAME, 1, || 1, true).test(vec![Job::new("on the CPU", || Ok(()))]),
        Ok(_) => {
            let suite = need::Suite::new(NAME, 2);
            return suite.ran(suite.devices().len());
        }
        Err(_) => {}
    }
    if cfg!(not(feature = "gpu")) {
        return SUITE.test(vec![]);
    }
    SUITE.test(vec![says("jobs", "child: 0 of 1 run"), says("devices", "child: 1 of 2 run")]);
}

//! Times of launches.

use crate::{SUITE, bits, classifier, points};
use gradus::plan::Clock;
use gradus::prelude::*;
use gradus::train::StepProfile;

pub fn holds_the_whole_step(p: &StepProfile, model: &mut Model, data: &Dataset) {
    let program = model.prepare(data, p.batch).unwrap();
    let of = |n: usize| (program.launches[n].kernel.name(), program.launches[n].label.clone());
    assert_eq!(p.launches.len(), program.launches.len());
    for (i, l) in p.launches.iter().enumerate() {
        assert_eq!((l.launch, (l.kernel.clone(), l.label.clone())), (i, of(i)));
        assert!(l.seconds >= 0.0 && l.seconds.is_finite(), "{p}");
    }
    let shares: f64 = p.launches.iter().map(|l| l.share).sum();
    assert!(p.total() > 0.0 && p.step_seconds > 0.0 && (shares - 1.0).abs() < 1e-9, "{p}");
    let text = p.to_string();
    for l in &program.launches {
        assert!(text.contains(&l.kernel.name()), "{text}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 120), "{text}");
    let sorted = p.clone().by_share();
    assert!(sorted.launches.windows(2).all(|w| w[0].seconds >= w[1].seconds) && sorted.launches.len() == p.launches.len());
}

#[test]
fn a_profile_times_every_launch_and_changes_nothing() {
    let data = points(70);
    let fit = || Fit::new().batch_size(16).epochs(2).verbose(0);
    for device in SUITE.devices() {
        let clocks: &[Option<Clock>] = if device.kind() == "cpu" {
            &[None, Some(Clock::Host)]
        } else {
            &[None, Some(Clock::InsidePass), Some(Clock::PassPerLaunch), Some(Clock::Host)]
        };
        let (mut plain, mut profiled) = (classifier(&device), classifier(&device));
        for clock in clocks {
            let before = bits(&mut profiled);
            let p = profiled.profile_by(&data, 16, *clock).unwrap();
            assert_eq!(bits(&mut profiled), before, "{device} {clock:?}");
            holds_the_whole_step(&p, &mut profiled, &data);
            assert!(clock.is_none_or(|c| c == p.clock), "{p}");
            println!("{p}");
            // training goes on as if nothing had been
            let (a, b) = (plain.fit(&data, fit()).unwrap(), profiled.fit(&data, fit()).unwrap());
            assert_eq!(a.get("loss"), b.get("loss"), "{device} {clock:?}");
            assert_eq!(bits(&mut plain), bits(&mut profiled), "{device} {clock:?}");
        }
        // in the middle of a run, too: moments, counters and cursor
        let run = |m: &mut Model, profile: bool| {
            m.trainer(&data, fit()).unwrap().steps(3).unwrap();
            if profile {
                m.profile(&data, 16).unwrap();
            }
            m.trainer(&data, fit()).unwrap().steps(3).unwrap();
            bits(m)
        };
        assert_eq!(run(&mut plain, false), run(&mut profiled, true), "{device}");
        SUITE.ran(1);
    }
}

#[test]
fn a_clock_that_a_device_has_not_is_an_error() {
    let m = classifier(&Device::cpu());
    let e = m.profile_by(&points(8), 8, Some(Clock::InsidePass)).unwrap_err();
    assert!(e.code() == "unsupported" && e.to_string().contains("Clock::Host"), "{e}");
    SUITE.ran(1);
}
#[test]
fn a_step_over_streamed_data_is_profiled_too() {
    let data = points(70).memory_budget(16 * 25);
    for device in SUITE.devices() {
        let (mut plain, mut profiled) = (classifier(&device), classifier(&device));
        let fit = || Fit::new().batch_size(16).verbose(0);
        for m in [&mut plain, &mut profiled] {
            m.fit(&data, fit()).unwrap();
        }
        let p = profiled.profile(&data, 16).unwrap();
        holds_the_whole_step(&p, &mut profiled, &data);
        let (a, b) = (plain.fit(&data, fit()).unwrap(), profiled.fit(&data, fit()).unwrap());
        assert_eq!((a.get("loss"), bits(&mut plain)), (b.get("loss"), bits(&mut profiled)), "{device}");
        SUITE.ran(1);
    }
}

use super::*;

/// One of each, with what its file says.
fn all() -> Vec<(Schedule, &'static str)> {
    vec![
        (Schedule::Constant(0.5), "0.5"),
        (Schedule::step(0.1, 30, 0.5), r#"{"schedule":"step","lr":0.1,"step_size":30,"gamma":0.5}"#),
        (Schedule::multi_step(0.1, [3, 5], 0.2), r#"{"schedule":"multi_step","lr":0.1,"milestones":[3,5],"gamma":0.2}"#),
        (Schedule::exponential(0.1, 0.99), r#"{"schedule":"exponential","lr":0.1,"gamma":0.99}"#),
        (Schedule::polynomial(0.1, 50, 2.0), r#"{"schedule":"polynomial","lr":0.1,"total":50,"power":2.0}"#),
        (Cosine::new(0.1, 50).eta_min(0.01).into(), r#"{"schedule":"cosine","lr":0.1,"t_max":50,"eta_min":0.01}"#),
        (Schedule::cosine_restarts(0.1, 10, 2), r#"{"schedule":"cosine_restarts","lr":0.1,"t_0":10,"t_mult":2,"eta_min":0.0}"#),
        (
            OneCycle::new(0.1, 100).anneal_strategy(Anneal::Linear).three_phase(true).into(),
            r#"{"schedule":"one_cycle","max_lr":0.1,"total":100,"pct_start":0.3,"anneal_strategy":"linear","div_factor":25.0,"final_div_factor":10000.0,"three_phase":true}"#,
        ),
        (
            Schedule::cosine(0.1, 50).warmup(5),
            r#"{"schedule":"warmup","updates":5,"then":{"schedule":"cosine","lr":0.1,"t_max":50,"eta_min":0.0}}"#,
        ),
    ]
}

#[test]
fn files_hold_them() {
    for (schedule, json) in all() {
        assert_eq!(serde_json::to_string(&schedule).unwrap(), json);
        assert_eq!(serde_json::from_str::<Schedule>(json).unwrap(), schedule, "{json}");
        let mut f = Faults::default();
        schedule.check(&mut f);
        f.finish().unwrap();
        // a file may give the rate as a whole number, and a table in TOML
        assert_eq!(schedule.clone().with_rate(2.0).rate(), 2.0);
        #[derive(Serialize, Deserialize)]
        struct Table {
            lr: Schedule,
        }
        let toml = toml::to_string(&Table { lr: schedule.clone() }).unwrap();
        assert_eq!(toml::from_str::<Table>(&toml).unwrap().lr, schedule, "{toml}");
    }
    assert_eq!(serde_json::from_str::<Schedule>("1").unwrap(), Schedule::Constant(1.0));
    let short: Schedule = serde_json::from_str(r#"{"schedule":"cosine","lr":1,"t_max":9}"#).unwrap();
    assert_eq!(short, Schedule::cosine(1.0, 9));
}

#[test]
fn files_that_are_wrong_are_told_why() {
    for (json, says) in [
        (r#"{"schedule":"cosine","lr":1,"t_max":9,"tmax":3}"#, "unknown field `tmax`"),
        (r#"{"schedule":"sine","lr":1}"#, "unknown variant `sine`, expected one of `step`"),
        (r#"{"schedule":"cosine","lr":1}"#, "missing field `t_max`"),
        (r#"{"schedule":"step","lr":1,"step_size":-3}"#, "-3"),
        (r#"{"lr":1}"#, "missing field `schedule`"),
        (r#""cosine""#, "expected a learning rate: a number, or a schedule"),
        ("null", "a learning rate is missing"),
    ] {
        let e = serde_json::from_str::<Schedule>(json).unwrap_err().to_string();
        assert!(e.contains(says), "{json}: {e}");
    }
    let own = Schedule::custom("mine", |_| 0.1).warmup(3);
    let json = serde_json::to_string(&own).unwrap();
    assert_eq!(json, r#"{"schedule":"warmup","updates":3,"then":{"schedule":"custom","custom":"mine"}}"#);
    let e = serde_json::from_str::<Schedule>(&json).unwrap_err().to_string();
    assert!(e.contains("`mine` is a closure") && e.contains("Schedule::custom"), "{e}");
}

#[test]
fn words_make_them() {
    let rate = 1e-3;
    for (words, schedule) in [
        ("constant", Schedule::Constant(rate)),
        ("step:30", Schedule::step(rate, 30, 0.1)),
        ("step:1000:0.5", Schedule::step(rate, 1000, 0.5)),
        ("multi_step:10,20, 30:0.3", Schedule::multi_step(rate, [10, 20, 30], 0.3)),
        ("exponential:0.99", Schedule::exponential(rate, 0.99)),
        ("polynomial:100:2", Schedule::polynomial(rate, 100, 2.0)),
        ("cosine:20000:1e-5", Cosine::new(rate, 20_000).eta_min(1e-5).into()),
        ("cosine_restarts:10:2", Schedule::cosine_restarts(rate, 10, 2)),
        ("one_cycle:500", Schedule::one_cycle(rate, 500)),
    ] {
        assert_eq!(words.parse::<Schedule>().unwrap(), schedule, "{words}");
    }
    for words in
        ["", "0.25", "sine:3", "cosine", "cosine:", "cosine:1:2:3", "step:1.5", "step:x", "multi_step:1,,2", "constant:1", "step:9:"]
    {
        let e = words.parse::<Schedule>().unwrap_err();
        assert_eq!(e.code(), "unknown-choice");
        assert!(e.to_string().contains("cosine:TOTAL:END, cosine_restarts:FIRST"), "{e}");
    }
}

#[test]
fn every_fault_is_told() {
    let faults = |s: Schedule| {
        let mut f = Faults::default();
        s.check(&mut f);
        f.finish().map_or_else(|e| e.to_string().matches("where: optimizer.lr").count(), |()| 0)
    };
    let nan = f64::NAN;
    for (schedule, count) in [
        (Schedule::Constant(-1.0), 1),
        (Schedule::step(nan, 0, -1.0), 3),
        (Schedule::multi_step(nan, [], nan), 3),
        (Schedule::exponential(nan, 1.5), 2),
        (Schedule::polynomial(nan, 0, 0.0), 3),
        (Cosine::new(-1.0, 0).eta_min(f64::INFINITY).into(), 3),
        (CosineRestarts::new(-1.0, 0).t_mult(0).eta_min(nan).into(), 4),
        (OneCycle::new(nan, 0).pct_start(2.0).div_factor(0.0).final_div_factor(nan).into(), 5),
        (Warmup::new(0, nan).start_factor(2.0).into(), 3),
        (Warmup::new(1, Warmup::new(1, 0.1)).into(), 1),
        (Schedule::custom("nan", |_| f64::NAN), 1),
    ] {
        assert_eq!(faults(schedule.clone()), count, "{schedule:?}");
        // wrong numbers give wrong rates, and no panic
        for t in [0, 1, 100, u64::MAX] {
            let _ = schedule.at(t);
        }
    }
}

/// What no file of PyTorch's says: ends stay, a warm-up is never at 0, a closure is asked.
#[test]
fn ends_and_beginnings() {
    let far = u64::MAX;
    assert_eq!(Cosine::new(1.0, 10).eta_min(0.25).at(far), 0.25);
    assert_eq!(Schedule::polynomial(1.0, 10, 0.5).at(far), 0.0);
    assert!((OneCycle::new(1.0, 10).at(far) - 1.0 / 25e4).abs() < 1e-18);
    assert_eq!(Schedule::multi_step(1.0, [5, 5], 0.5).at(5), 0.25);
    let up: Vec<f64> = (0..6).map(|t| Schedule::Constant(8.0).warmup(3).at(t)).collect();
    assert_eq!(up, [2.0, 4.0, 6.0, 8.0, 8.0, 8.0]);
    assert_eq!(Schedule::cosine(1.0, 4).warmup(2).warmup(7), Schedule::cosine(1.0, 4).warmup(7));
    assert_eq!(Schedule::cosine(1.0, 4).warmup(2).warmup(0), Schedule::cosine(1.0, 4));
    assert_eq!(Schedule::custom("line", |t| t as f64).at(3), 3.0);
    assert!(Schedule::cosine_restarts(1.0, 3, 2).at(far) <= 1.0);
    // a total of one: no division of nothing by nothing
    for pct in [0.0, 0.3, 1.0] {
        assert!(OneCycle::new(1.0, 1).pct_start(pct).at(0).is_finite());
    }
}

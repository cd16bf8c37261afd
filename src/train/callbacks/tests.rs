//! Keras' documented behaviour, on scripted values.

use crate::model::face::wait_for;
use crate::prelude::*;
use crate::tensor::HostTensor;
use crate::train::callbacks::kind::parsed;
use crate::train::callbacks::*;
use serde_json::Value;
use std::sync::{Arc, Mutex};

fn data() -> Dataset {
    let x = HostTensor::f32([8, 2], (0..16).map(|i| i as f32 / 16.0).collect()).unwrap();
    Dataset::new(x, HostTensor::f32([8, 1], (0..8).map(|i| i as f32 / 8.0).collect()).unwrap()).unwrap()
}

fn model(lr: f64) -> Model {
    let metric = metric::custom("accuracy", |y, t| (y - t).abs().less(&y.number(0.5)).mean());
    let settings = Compile::new(Sgd::new(lr), Mse::new()).input([2]).metric(metric).device(Device::cpu_threads(1));
    Sequential::new().add(Linear::new(1)).compile(settings).unwrap()
}

fn weight(m: &mut Model) -> f32 {
    m.parameter("0.weight").unwrap().as_f32().unwrap()[0]
}

/// The epochs' values go to a callback, one after another, and the weight is the epoch's number meanwhile. Gives the epoch that it stopped at
/// (0 for none), the rate after each, and the weight at the end.
fn scripted(callback: impl Into<CallbackKind>, monitor: &str, values: &[f64]) -> (usize, Vec<f64>, f32) {
    let fit = Fit::new().epochs(99).batch_size(4).validation(&data()).callback(callback);
    let mut model = model(1.0);
    let mut run = wait_for(crate::train::fit::begun(&mut model, &data(), &fit)).unwrap();
    let mut list = Callbacks::start(&fit, &run).unwrap();
    wait_for(list.train_begin(&mut run)).unwrap();
    let (mut stopped, mut rates) = (0, vec![]);
    for (i, v) in values.iter().enumerate() {
        assert_eq!(stopped, 0, "stopped at {stopped} of {values:?}");
        run.model().set_parameter("0.weight", &HostTensor::f32([1, 2], vec![i as f32 + 1.0; 2]).unwrap()).unwrap();
        wait_for(list.epoch_begin(&mut run, i + 1)).unwrap();
        wait_for(list.epoch_end(&mut run, &Logs::new(i + 1, [(monitor, *v)]))).unwrap();
        rates.push(run.learning_rate());
        if run.is_over() {
            stopped = i + 1;
        }
    }
    wait_for(list.train_end(&mut run)).unwrap();
    let w = weight(run.model());
    (stopped, rates, w)
}

#[test]
fn early_stopping() {
    let stops = |c: EarlyStopping, values: &[f64]| {
        let monitor = c.monitor.clone();
        scripted(c, &monitor, values).0
    };
    let on_loss = || EarlyStopping::new("val_loss");
    // without patience: at the first epoch that is not better, but the first of all
    assert_eq!(stops(on_loss(), &[1.0, 1.0]), 2);
    assert_eq!(stops(on_loss(), &[1.0, 0.9, 0.95]), 3);
    assert_eq!(stops(on_loss(), &[f64::NAN, 0.5, 0.4]), 0);
    assert_eq!(stops(on_loss(), &[f64::NAN, f64::NAN]), 2);
    // patience counts from the best
    assert_eq!(stops(on_loss().patience(2), &[1.0, 0.9, 0.95, 0.94]), 4);
    assert_eq!(stops(on_loss().patience(2), &[1.0, 0.9, 0.95, 0.89, 0.9]), 0);
    // less than `min_delta` is no improvement
    assert_eq!(stops(on_loss().patience(2).min_delta(0.1), &[1.0, 0.95, 0.88, 0.85]), 0);
    assert_eq!(stops(on_loss().patience(2).min_delta(0.1), &[1.0, 0.95, 0.92]), 3);
    // up where the name says so, or the mode
    assert_eq!(stops(EarlyStopping::new("val_accuracy"), &[0.5, 0.6, 0.7]), 0);
    assert_eq!(stops(EarlyStopping::new("accuracy"), &[0.5, 0.6, 0.6]), 3);
    assert_eq!(stops(on_loss().mode(Mode::Max), &[0.5, 0.6, 0.7]), 0);
    assert_eq!(stops(EarlyStopping::new("accuracy").mode(Mode::Min), &[0.5, 0.6]), 2);
    // an improvement that does not beat the baseline does not reset the wait, and does not stop either
    assert_eq!(stops(on_loss().patience(2).baseline(0.5), &[1.0, 0.9, 0.8, 0.7]), 0);
    assert_eq!(stops(on_loss().patience(2).baseline(0.5), &[1.0, 0.9, 0.95]), 3);
    assert_eq!(stops(on_loss().patience(2).baseline(0.5), &[1.0, 0.4, 0.45, 0.46]), 4);
    // the first epochs are not looked at
    assert_eq!(stops(on_loss().patience(1).start_from_epoch(2), &[0.1, 0.2, 0.9, 0.8, 0.85]), 5);
}

#[test]
fn best_weights() {
    let end = |c: EarlyStopping, values: &[f64]| scripted(c, "val_loss", values).2;
    let on_loss = || EarlyStopping::new("val_loss").patience(2);
    assert_eq!(end(on_loss(), &[1.0, 0.5, 0.6, 0.7]), 4.0);
    assert_eq!(end(on_loss().restore_best_weights(true), &[1.0, 0.5, 0.6, 0.7]), 2.0);
    // where the run came to its end, too; whatever the baseline; and where no value was a number
    assert_eq!(end(on_loss().restore_best_weights(true), &[1.0, 0.5, 0.6]), 2.0);
    assert_eq!(end(on_loss().restore_best_weights(true).baseline(0.1), &[1.0, 0.9, 0.95]), 2.0);
    assert_eq!(end(on_loss().restore_best_weights(true), &[f64::NAN, f64::NAN]), 1.0);
    assert_eq!(end(on_loss().restore_best_weights(true).start_from_epoch(2), &[0.1, 0.2, 0.9, 0.95]), 3.0);
}

#[test]
fn reduce_lr_on_plateau() {
    let rates = |c: ReduceLROnPlateau, values: &[f64]| scripted(c, "val_loss", values).1;
    let near = |got: Vec<f64>, want: &[f64]| {
        assert!(got.len() == want.len() && got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{got:?} {want:?}");
    };
    let on_loss = || ReduceLROnPlateau::new("val_loss").patience(2);
    near(rates(on_loss(), &[1.0; 5]), &[1.0, 1.0, 0.1, 0.1, 0.01]);
    near(rates(on_loss().factor(0.5), &[1.0, 0.9, 0.9, 0.89995, 0.5]), &[1.0, 1.0, 1.0, 0.5, 0.5]);
    // the epoch in which the cooldown ends counts already
    near(rates(on_loss().cooldown(1), &[1.0; 7]), &[1.0, 1.0, 0.1, 0.1, 0.01, 0.01, 0.001]);
    near(rates(on_loss().cooldown(3), &[1.0; 7]), &[1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01]);
    near(rates(on_loss().min_lr(0.05), &[1.0; 7]), &[1.0, 1.0, 0.1, 0.1, 0.05, 0.05, 0.05]);
    near(rates(on_loss().mode(Mode::Max), &[1.0, 2.0, 3.0]), &[1.0; 3]);
}

#[test]
fn learning_rate_scheduler() {
    let epochs = Arc::new(Mutex::new(vec![]));
    let seen = epochs.clone();
    let half = LearningRateScheduler::new("half", move |epoch, lr| {
        seen.lock().unwrap().push(epoch);
        lr / 2.0
    });
    assert_eq!(scripted(half.clone(), "val_loss", &[1.0; 3]).1, [0.5, 0.25, 0.125]);
    assert_eq!(*epochs.lock().unwrap(), [0, 1, 2]);
    // it is a column of the history, and what it gives is checked
    let history = model(0.5).fit(&data(), Fit::new().epochs(2).verbose(0).callback(half)).unwrap();
    assert_eq!(history.get("learning_rate"), [0.25, 0.125]);
    let bad = LearningRateScheduler::new("bad", |_, _| f64::NAN);
    assert_eq!(model(0.5).fit(&data(), Fit::new().verbose(0).callback(bad)).unwrap_err().code(), "invalid-config");
}

#[test]
fn unknown_names_are_listed() {
    let ask = |fit: Fit| model(0.1).fit(&data(), fit.verbose(0)).unwrap_err().to_string();
    let text = ask(Fit::new()
        .callback(EarlyStopping::new("val_loss"))
        .callback(ReduceLROnPlateau::new("los"))
        .callback(ModelCheckpoint::new("{epoch}-{acc:.2f}").every_steps(1)));
    assert!(text.contains("3 settings") && text.contains("`val_loss`") && text.contains("`los`") && text.contains("`acc`"), "{text}");
    assert!(text.contains("loss, accuracy, learning_rate; `val_..` needs `Fit::validation`"), "{text}");
    assert!(text.contains("fit.callbacks[2], model_checkpoint"), "{text}");
    let text = ask(Fit::new()
        .callback(EarlyStopping::new("").min_delta(-1.0).baseline(f64::NAN))
        .callback(ReduceLROnPlateau::new("loss").factor(1.0).min_lr(-1.0))
        .callback(ModelCheckpoint::new("{").every_epochs(0))
        .callback(CsvLogger::new("").separator('1')));
    assert!(text.contains("9 settings") && text.contains("fit.callbacks[1].factor: 1"), "{text}");
}

#[test]
fn model_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let listed = |folder: &str| {
        let mut all: Vec<String> = std::fs::read_dir(at(folder)).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    };
    // weights of what is better than all before
    let best = |folder: &str| ModelCheckpoint::new(at(folder) + "/{epoch:02d}-{val_loss:.1f}").save_best_only(true).save_weights_only(true);
    scripted(best("best"), "val_loss", &[1.0, 2.0, 0.5, f64::NAN, 0.4]);
    assert_eq!(listed("best"), ["01-1.0", "03-0.5", "05-0.4"]);
    scripted(best("two").keep_last(2), "val_loss", &[1.0, 2.0, 0.5, 0.4]);
    assert_eq!(listed("two"), ["03-0.5", "04-0.4"]);
    scripted(best("threshold").initial_value_threshold(0.45), "val_loss", &[1.0, 0.5, 0.4]);
    assert_eq!(listed("threshold"), ["03-0.4"]);
    scripted(best("up").mode(Mode::Max), "val_loss", &[1.0, 2.0, 1.5]);
    assert_eq!(listed("up"), ["01-1.0", "02-2.0"]);
    let mut m = model(0.1);
    m.load_weights(at("two/03-0.5"), Load::new()).unwrap();
    assert_eq!(weight(&mut m), 3.0);
    // every second epoch; every three steps of two an epoch
    let whole = ModelCheckpoint::new(at("runs/{epoch}.gradus")).every_epochs(2).keep_last(2);
    let steps = ModelCheckpoint::new(at("steps/{step:03}-{loss:.3f}.gradus")).every_steps(3);
    let fit = Fit::new().epochs(7).batch_size(4).verbose(0).callback(whole).callback(steps);
    model(0.1).fit(&data(), fit.clone()).unwrap();
    assert_eq!(listed("runs"), ["4.gradus", "6.gradus"]);
    assert_eq!(listed("steps").iter().map(|n| &n[..3]).collect::<Vec<_>>(), ["003", "006", "009", "012"]);
    // what is whole is gone on from, and is a model too
    let mut one = model(0.1);
    let history = one.fit(&data(), fit.clone()).unwrap();
    let mut other = model(0.1);
    let resume = fit.checkpoint(Checkpoint::new(at("runs/4.gradus")).every_epochs(0)).resume(Resume::Required);
    assert_eq!(other.fit(&data(), resume).unwrap(), history);
    assert_eq!(weight(&mut other), weight(&mut one));
    assert_eq!(listed("runs"), ["4.gradus", "6.gradus"]);
}

/// The order of the calls, and the state that comes back.
#[test]
fn ones_own() {
    #[derive(Clone, Default)]
    struct Mine {
        calls: Arc<Mutex<Vec<String>>>,
        count: u64,
    }
    impl Mine {
        fn say(&mut self, text: String) -> Result<()> {
            self.count += 1;
            self.calls.lock().unwrap().push(text);
            Ok(())
        }
    }
    impl Callback for Mine {
        fn on_train_begin(&mut self, _: &mut Trainer<'_>) -> Result<()> {
            self.count = 0;
            self.say("begin".into())
        }
        fn on_epoch_begin(&mut self, _: &mut Trainer<'_>, epoch: usize) -> Result<()> {
            self.say(format!("epoch {epoch}"))
        }
        fn on_steps_end(&mut self, run: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
            assert_eq!(run.steps(1).unwrap_err().code(), "unsupported");
            assert!(logs["loss"].is_finite() && logs.grad_norm > 0.0);
            self.say(format!("steps {} of {}", logs.step, logs.epoch))
        }
        fn on_epoch_end(&mut self, _: &mut Trainer<'_>, logs: &Logs) -> Result<()> {
            self.say(format!("ended {}, {}", logs.epoch, logs.get("val_loss").is_some()))
        }
        fn on_train_end(&mut self, _: &mut Trainer<'_>) -> Result<()> {
            let count = self.count;
            self.say(format!("end {count}"))
        }
        fn every_steps(&self) -> usize {
            3
        }
        fn state(&self) -> Value {
            self.count.into()
        }
        fn restore(&mut self, _: &mut Trainer<'_>, state: &Value) -> Result<()> {
            self.count = parsed("mine", state)?;
            self.say(format!("restored {state}"))
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mine = Mine::default();
    let fit = |c: CustomCallback, epochs| {
        let checkpoint = Checkpoint::new(dir.path().join("run.gradus"));
        Fit::new().epochs(epochs).batch_size(4).verbose(0).validation(&data()).callback(c).checkpoint(checkpoint)
    };
    let shared = custom("mine", mine.clone());
    assert!(shared == shared.clone() && shared != custom("mine", mine.clone()));
    model(0.1).fit(&data(), fit(shared.clone(), 2)).unwrap();
    let calls = || std::mem::take(&mut *mine.calls.lock().unwrap());
    assert_eq!(calls(), ["begin", "epoch 1", "ended 1, true", "epoch 2", "steps 3 of 2", "ended 2, true", "end 6"]);
    model(0.1).fit(&data(), fit(shared.clone(), 3).resume(Resume::Required)).unwrap();
    assert_eq!(calls(), ["begin", "restored 6", "epoch 3", "steps 6 of 3", "ended 3, true", "end 10"]);
    // another name, another callback
    model(0.1).fit(&data(), fit(custom("other", mine.clone()), 4).resume(Resume::Required)).unwrap();
    assert_eq!(calls()[..2], ["begin", "epoch 4"]);

    let json = serde_json::to_string(&fit(shared, 2)).unwrap();
    assert!(json.contains(r#"{"name":"custom","custom":"mine"}"#), "{json}");
    let e = serde_json::from_str::<Fit>(&json).unwrap_err().to_string();
    assert!(e.contains("`mine` is a callback of one's own"), "{e}");
}

#[test]
fn settings_come_back() {
    let fit = Fit::new()
        .callback(EarlyStopping::new("val_loss").patience(3).baseline(0.5))
        .callback(ModelCheckpoint::new("{epoch}").keep_last(2))
        .callback(ReduceLROnPlateau::new("loss").cooldown(2))
        .callback(CsvLogger::new("a.csv"))
        .callback(JsonLines::new("a.jsonl").every_steps(4))
        .callback(TensorBoard::new("runs"))
        .callback(TerminateOnNaN::new())
        .checkpoint(Checkpoint::new("run.gradus").every_steps(500))
        .resume(Resume::IfPresent);
    let json = serde_json::to_string(&fit).unwrap();
    assert_eq!(serde_json::from_str::<Fit>(&json).unwrap(), fit, "{json}");
    assert_eq!(toml::from_str::<Fit>(&toml::to_string(&fit).unwrap()).unwrap(), fit);
    for c in &fit.callbacks {
        assert_eq!(serde_json::to_value(c).unwrap()["name"], c.name());
    }
    // with the defaults of Keras
    let c: CallbackKind = serde_json::from_str(r#"{"name":"early_stopping","monitor":"val_loss"}"#).unwrap();
    assert_eq!(c, EarlyStopping::new("val_loss").into());
    assert!(serde_json::from_str::<CallbackKind>(r#"{"name":"early_stopping","monitor":"loss","patienc":3}"#).is_err());
    let scheduler = serde_json::to_string(&CallbackKind::from(LearningRateScheduler::new("mine", |_, lr| lr))).unwrap();
    assert!(serde_json::from_str::<CallbackKind>(&scheduler).unwrap_err().to_string().contains("`mine` is a closure"));
    let e = Fit::new().resume(Resume::Required).check().unwrap_err();
    assert!(e.to_string().contains("fit.resume: `required`, and no checkpoint"), "{e}");
}

/// With and without the callback; at a rate that no model bears: the norm of the gradients passes f32 before the loss does.
#[test]
fn terminate_on_nan() {
    let fit = || Fit::new().epochs(40).batch_size(4).verbose(0);
    let e = model(1e9).fit(&data(), fit()).unwrap_err();
    assert_eq!(e.code(), "non-finite-gradient");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.gradus");
    let mut m = model(1e9);
    let history = m.fit(&data(), fit().callback(TerminateOnNaN::new()).checkpoint(Checkpoint::new(&path))).unwrap();
    assert!((1..40).contains(&history.epochs()) && weight(&mut m).is_finite());
    // the checkpoint is that of the last epoch that went well
    let fit = fit().checkpoint(Checkpoint::new(&path)).resume(Resume::Required);
    assert_eq!(model(1e9).trainer(&data(), fit).unwrap().epochs_done(), history.epochs());
    // and a loop of one's own gets none after an error
    let mut m = model(1e9);
    let mut run = m.trainer(&data(), Fit::new().epochs(40).batch_size(4)).unwrap();
    while run.steps(100).is_ok() {}
    assert_eq!(run.checkpoint(&path).unwrap_err().code(), "unsupported");
}

#[test]
fn tables_and_lines() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let fit = |csv: CsvLogger| {
        Fit::new()
            .epochs(2)
            .batch_size(4)
            .verbose(0)
            .validation(&data())
            .callback(csv)
            .callback(JsonLines::new(at("a.jsonl")).every_steps(3))
    };
    let history = model(0.1).fit(&data(), fit(CsvLogger::new(at("a.csv")))).unwrap();
    let text = std::fs::read_to_string(at("a.csv")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, "epoch,accuracy,loss,val_accuracy,val_loss"));
    let cells: Vec<f64> = lines[2].split(',').map(|c| c.parse().unwrap()).collect();
    assert_eq!((cells[0], cells[2], cells[4]), (2.0, history.last("loss").unwrap(), history.last("val_loss").unwrap()));
    let objects: Vec<Value> = std::fs::read_to_string(at("a.jsonl")).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!((&objects[1]["so_far"], &objects[1]["step"], &objects[2]["epoch"]), (&true.into(), &3.into(), &2.into()));
    assert_eq!(objects[2]["val_loss"], history.last("val_loss").unwrap());
    // a new run starts it anew, or adds
    model(0.1).fit(&data(), fit(CsvLogger::new(at("a.csv")).separator(';').append(true))).unwrap();
    let text = std::fs::read_to_string(at("a.csv")).unwrap();
    assert!(text.lines().count() == 5 && text.lines().last().unwrap().starts_with("2;"), "{text}");
    model(0.1).fit(&data(), fit(CsvLogger::new(at("a.csv")))).unwrap();
    assert_eq!(std::fs::read_to_string(at("a.csv")).unwrap().lines().count(), 3);
}

//! What flags make of a run.

use super::*;
use gradus::prelude::HostTensor;
use gradus::train::Registry;

fn flags(words: &str) -> Flags {
    Flags::try_parse_from(std::iter::once("mnist").chain(words.split_whitespace())).unwrap()
}

#[test]
fn flags_change_what_they_name_and_nothing_else() {
    let article = crate::article().unwrap();
    assert_eq!(flags("").recipe(article.clone()).unwrap(), article);
    let r = flags("--hidden 7 --activation tanh --optimizer sgd --lr 0.5 --batch-size 8 --no-shuffle").recipe(article.clone()).unwrap();
    assert_eq!(recipe::describe(&r), "784-7-10, tanh, softmax");
    assert_eq!((r.compile.optimizer.schedule().at(0), r.fit.batch_size, r.fit.epochs, r.fit.shuffle), (0.5, 8, 10, false));
}

/// Each network takes the images that are there, of whatever size: a step of it runs.
#[test]
fn networks_suit_the_data() {
    for (words, size) in [("", 28), ("--model cnn", 28), ("--model cnn", 20)] {
        let flags = flags(words);
        let mut r = flags.recipe(crate::first(flags.model).unwrap()).unwrap();
        let images = HostTensor::u8([8, size, size], vec![7; 8 * size * size]).unwrap();
        let data = Dataset::new(images, HostTensor::u8([8], (0..8).collect()).unwrap()).unwrap();
        recipe::suit(&mut r, &data);
        let sets = r.data.apply_seeded(data.clone(), Some(data), &Registry::new(), &r.seeds).unwrap();
        let model = r.compile(&Registry::new(), &Device::cpu()).unwrap();
        model.prepare(&sets.train, 4).unwrap_or_else(|e| panic!("{words}, {size}: {e}"));
    }
}

/// A recipe's augmentation gives way to the flag's; both together would be refused.
#[test]
fn one_augmentation() {
    let mut r = crate::article().unwrap();
    r.data = r.data.op(DataOp::augment("rotate".parse().unwrap()));
    let ops = |r: Recipe| r.data.pipeline.into_iter().filter(|op| matches!(op, DataOp::Augment(_))).collect::<Vec<_>>();
    assert_eq!(ops(flags("").recipe(r.clone()).unwrap()), ops(r.clone()));
    assert_eq!(ops(flags("--augment shift:3").recipe(r).unwrap()), [DataOp::augment("shift:3".parse().unwrap())]);
}

/// Rate, schedule and warm-up each change their part; the file of a recipe holds them all.
#[test]
fn rates_and_starts() {
    let article = crate::article().unwrap();
    let words = "--schedule cosine:900:1e-5 --warmup 100 --lr 0.01 --init kaiming_normal:relu --weight-decay 0.1 --hidden 5";
    let r = flags(words).recipe(article.clone()).unwrap();
    assert!(
        (r.compile.optimizer.schedule().at(100) - 0.01).abs() < 1e-15 && (r.compile.optimizer.schedule().at(2000) - 1e-5).abs() < 1e-15
    );
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    let text = recipe::write(&r).unwrap();
    assert!(text.contains("weight_decay = 0.1") && text.contains("kaiming_normal") && text.contains("warmup"), "{text}");
    std::fs::write(&file, text).unwrap();
    let from = format!("--recipe {}", file.display());
    assert_eq!(flags(&from).recipe(article.clone()).unwrap(), r);
    let other = flags(&format!("{from} --lr 0.5 --warmup 10")).recipe(article.clone()).unwrap();
    assert_eq!((other.compile.optimizer.schedule().at(10), other.compile.optimizer.schedule().at(910)), (0.5, 1e-5));
    let keras = flags("--init keras").recipe(article.clone()).unwrap();
    assert_eq!(flags("--init pytorch").recipe(keras).unwrap(), article);
    let e = flags("--schedule cosine:0 --weight-decay -1").recipe(article).unwrap_err().to_string();
    assert!(e.contains("optimizer.lr.t_max") && e.contains("optimizer.weight_decay"), "{e}");
}

/// What stabilises a run reaches the recipe, and its file.
#[test]
fn robust_training() {
    let article = crate::article().unwrap();
    let words = "--dropout 0.25 --clip-norm 1 --accumulate 4 --ema 0.99 --early-stopping --tensorboard runs --checkpoint run.gradus \
                 --checkpoint-every 50 --resume --optimizer lion --weight-decay 0.2";
    let r = flags(words).recipe(article.clone()).unwrap();
    assert_eq!(
        (r.compile.clip_norm, r.compile.ema, r.fit.accumulate, r.fit.callbacks.len(), r.fit.resume),
        (Some(1.0), Some(0.99), 4, 2, Resume::IfPresent)
    );
    assert_eq!(r.fit.checkpoint, Some(Checkpoint::new("run.gradus").every_steps(50)));
    assert_eq!(r.model.layers().iter().filter(|l| matches!(l, gradus::nn::Layer::Dropout(_))).count(), 2);
    let text = recipe::write(&r).unwrap();
    for part in ["accumulate = 4", "early_stopping", "dropout", "run.gradus", "lion", "weight_decay = 0.2"] {
        assert!(text.to_lowercase().contains(part), "no `{part}` in:\n{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    std::fs::write(&file, text).unwrap();
    assert_eq!(flags(&format!("--recipe {}", file.display())).recipe(article).unwrap(), r);
    assert!(Flags::try_parse_from(["mnist", "--resume"]).is_err()); // from what?
}

/// Told before the training; nothing is left behind.
#[test]
fn files_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let article = crate::article().unwrap();
    let ask = |flag: &str, name: &str| flags(&format!("--{flag} {}", dir.path().join(name).display())).recipe(article.clone());
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::fs::write(dir.path().join("old"), "x").unwrap();
    let long = "n".repeat(300);
    for flag in ["save", "metrics-json", "graph", "checkpoint"] {
        for bad in ["folder", "none/file", "old/file", &long] {
            let e = ask(flag, bad).unwrap_err();
            assert!(format!("{e:#}").contains("could not write"), "{flag} {bad}: {e:#}");
        }
        ask(flag, "old").unwrap();
        ask(flag, "new").unwrap();
    }
    assert_eq!(std::fs::read(dir.path().join("old")).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// A recipe writes below this folder alone, unless it is trusted.
#[test]
fn a_recipe_that_writes_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    let article = crate::article().unwrap();
    let mut r = article.clone();
    r.fit = r.fit.checkpoint(Checkpoint::new("../run.gradus"));
    std::fs::write(&file, recipe::write(&r).unwrap()).unwrap();
    let from = format!("--recipe {}", file.display());
    let e = flags(&from).recipe(article.clone()).unwrap_err().to_string();
    assert!(e.contains("fit.checkpoint.path") && e.contains("--trust-recipe"), "{e}");
    assert_eq!(flags(&format!("{from} --trust-recipe")).recipe(article).unwrap(), r);
}

#[test]
fn flags_win_over_a_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("run.toml");
    let article = crate::article().unwrap();
    let written = flags("--seed 5 --epochs 3 --hidden 9,8,7 --activation gelu_tanh --optimizer momentum --precision mixed")
        .recipe(article.clone())
        .unwrap();
    std::fs::write(&file, recipe::write(&written).unwrap()).unwrap();
    let from = format!("--recipe {}", file.display());
    assert_eq!(flags(&from).recipe(article.clone()).unwrap(), written);
    let r = flags(&format!("{from} --epochs 4 --hidden 6")).recipe(article).unwrap();
    assert_eq!((r.seeds.all, r.fit.epochs, recipe::describe(&r).as_str()), (5, 4, "784-6-10, gelu_tanh, softmax"));
}

#[test]
fn wrong_words_are_told_with_the_choices() {
    for (words, says) in [
        ("--device fast", "choose one of auto, gpu, gpu:INDEX"),
        ("--activation swish", "choose one of relu, tanh"),
        ("--optimizer adamax", "choose one of sgd, momentum, adam, adamw"),
        ("--hidden 64,,32", "widths of 1 or more"),
        ("--schedule sine:3", "choose one of constant, step:SIZE:GAMMA"),
        ("--precision half", "choose one of f32, mixed"),
        ("--init best", "choose one of pytorch, keras, zeros"),
    ] {
        let e = Flags::try_parse_from(std::iter::once("mnist").chain(words.split_whitespace())).unwrap_err();
        assert!(e.to_string().contains(says) && e.exit_code() == 2, "{e}");
    }
    let e = flags("--batch-size 0 --lr nan").recipe(crate::article().unwrap()).unwrap_err().to_string();
    assert!(e.contains("optimizer.lr") || e.contains("fit.batch_size"), "{e}");
}

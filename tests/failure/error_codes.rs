//! `docs/errors.md` tells of every code, each with a program that provokes it (they run as documentation tests), and every message has its
//! three parts.

use gradus::Error;
use gradus::error::{Fault, WrongShape};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/errors.md");

/// One of each.
fn all() -> Vec<Error> {
    let s = || "some words".to_string();
    let fault = || Fault { key: "fit.epochs".into(), problem: "0".into(), help: "give at least 1".into() };
    let wrong_shape = vec![WrongShape { name: "fc.weight".into(), expected: vec![2, 3], found: vec![3] }];
    vec![
        Error::ShapeMismatch { op: s(), problem: s(), at: s(), help: s() },
        Error::DTypeMismatch { op: s(), problem: s(), at: s(), help: s() },
        Error::DuplicateName { name: s(), first: s(), second: s() },
        Error::InconsistentModel { at: s(), first: s(), now: s() },
        Error::InvalidConfig { faults: vec![fault(), fault()] },
        Error::UnknownChoice { what: s(), given: s(), at: s(), choices: vec![s()] },
        Error::BadRecipe { problem: s(), at: s(), help: s() },
        Error::BadData { path: "f".into(), offset: 7, problem: s(), help: s() },
        Error::DataNotFound { problem: s(), looked: vec![s()], help: s() },
        Error::DataSource { field: s(), problem: s(), at: s() },
        Error::Callback { name: s(), problem: s(), at: s() },
        Error::LabelOutOfRange { label: 3.0, row: 1, classes: 2, at: s() },
        Error::IndexOutOfRange { index: 3, row: 1, size: 2, at: s() },
        Error::WeightMismatch { path: "f".into(), missing: vec![s()], unexpected: vec![s()], wrong_shape, help: s() },
        Error::BadFile { path: "f".into(), problem: s(), at: s(), help: s() },
        Error::Io { action: "read", path: "f".into(), source: std::io::Error::other("gone") },
        Error::Download { problem: s(), tried: vec![s()], help: s() },
        Error::NoDevice { wanted: s(), problem: s(), tried: vec![], help: s() },
        Error::NoF16 { device: s(), help: s() },
        Error::DeviceLost { device: s(), reason: s() },
        Error::OutOfMemory { what: s(), needed: 2, available: 1, biggest: vec![s()], help: s() },
        Error::DeviceFault { what: s(), problem: s(), device: s() },
        Error::BadShader { op: s(), problem: s(), at: s() },
        Error::Distributed { problem: s(), at: s(), help: s() },
        Error::CustomOp { op: s(), problem: s(), at: s() },
        Error::NonFiniteLoss { step: 1, epoch: 1, loss: f32::NAN, parameter: Some(s()), scale: None, cause: None },
        Error::NonFiniteGradient { step: 1, epoch: 1, norm: f32::NAN, parameters: vec![s()], largest: None, scale: None, cause: None },
        Error::NotFound { what: s(), name: s(), at: s(), known: vec![] },
        Error::Unsupported { what: s(), at: s(), help: s() },
    ]
}

#[test]
fn every_message_has_three_parts() {
    let codes: BTreeSet<&str> = Error::CODES.iter().copied().collect();
    assert_eq!(codes.len(), Error::CODES.len(), "a code stands for two things");
    assert_eq!(all().iter().map(Error::code).collect::<BTreeSet<_>>(), codes, "one of each code");
    for e in all() {
        let text = e.to_string();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{}: no `{}` in\n{text}", e.code(), part.trim()));
        let (place, help) = (at("\n  where: "), at("\n  help: "));
        assert!(0 < place && place < help, "{text}");
        let filled = |from: usize| text[from..].lines().nth(1).is_some_and(|l| l.trim().len() > "where: ".len());
        assert!(filled(place) && filled(help), "{text}");
        assert_eq!(format!("{e:?}"), text, "`main` prints it so");
    }
}

#[test]
fn the_page_tells_of_every_code() {
    let sections: Vec<(&str, &str)> = PAGE.split("\n## `").skip(1).filter_map(|s| s.split_once("`\n")).collect();
    let told: Vec<&str> = sections.iter().map(|(code, _)| *code).collect();
    assert_eq!(told, Error::CODES, "the page has the codes in their order");
    for (code, text) in sections {
        let programs: Vec<&str> = text.split("```").skip(1).step_by(2).collect();
        assert_eq!(programs.len(), 1, "{code}: one program");
        let (fence, program) = programs[0].split_once('\n').expect(code);
        assert!(program.contains(&format!("assert_eq!(e.code(), \"{code}\");")), "{code}: the program does not show it");
        assert!(text.split("```").next().is_some_and(|prose| prose.trim().len() > 80), "{code}: what it means and what to do");
        match fence {
            "rust" | "rust,standalone_crate" => {}
            // one that cannot run here names the test that does
            "rust,no_run" => assert!(text.contains("`tests/"), "{code}: which test runs it?"),
            other => panic!("{code}: a program in {other}"),
        }
    }
}

/// Whatever names hold, an error drives no terminal.
#[test]
fn control_characters_are_escaped() {
    let hostile = || "a\u{1b}]0;owned\u{7}\u{9b}2J\r".to_string();
    let e = Error::WeightMismatch {
        path: hostile().into(),
        missing: vec![hostile()],
        unexpected: vec![hostile()],
        wrong_shape: vec![],
        help: hostile(),
    };
    for text in
        [e.to_string(), format!("{e:?}"), Error::NotFound { what: hostile(), name: hostile(), at: hostile(), known: vec![] }.to_string()]
    {
        assert!(text.contains("a\\u{1b}]0;owned\\u{7}\\u{9b}2J\\r"), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
    }
}

/// An `Io` error has the system's as its source, and no other has one.
#[test]
fn sources() {
    use std::error::Error as _;
    let with: Vec<&str> = all().iter().filter(|e| e.source().is_some()).map(|e| e.code()).collect();
    assert_eq!(with, ["io"]);
}

//! The messages here are those of `gradus.proto`.

use std::collections::BTreeMap;

/// By message, each field's number, type and name.
type Messages = BTreeMap<String, BTreeMap<u32, (String, String)>>;

fn of_proto() -> Messages {
    let mut all = Messages::new();
    let mut within = String::new();
    for line in include_str!("gradus.proto").lines().map(str::trim).filter(|l| !l.starts_with("//")) {
        if let Some(rest) = line.strip_prefix("message ") {
            within = rest.trim_end_matches(['{', '}', ' ']).into();
            all.insert(within.clone(), BTreeMap::new());
        } else if let Some((left, tag)) = line.strip_suffix(';').and_then(|l| l.split_once(" = ")).filter(|_| !within.is_empty()) {
            let (kind, name) = left.rsplit_once(' ').unwrap();
            all.get_mut(&within).unwrap().insert(tag.parse().unwrap(), (kind.into(), name.into()));
        }
    }
    all
}

fn of_rust() -> Messages {
    let mut all = Messages::new();
    let (mut within, mut next): (String, Option<(u32, String)>) = (String::new(), None);
    let source = include_str!("wire.rs");
    for line in source[..source.find("\nimpl ").unwrap()].lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub(crate) struct ") {
            within = rest.trim_end_matches(['{', '}', ' ']).trim_end_matches("Message").into();
            all.insert(within.clone(), BTreeMap::new());
        } else if let Some(rest) = line.strip_prefix("#[prost(") {
            let parts: Vec<&str> = rest.trim_end_matches(")]").split(", ").collect();
            let tag = parts.last().unwrap().trim_start_matches("tag = ").trim_matches('"').parse().unwrap();
            let label = match parts.get(1) {
                Some(&"repeated") => "repeated ",
                Some(&"optional") if parts[0] != "message" => "optional ",
                _ => "",
            };
            let kind = parts[0].split(' ').next().unwrap();
            next = Some((tag, format!("{label}{kind}")));
        } else if let (Some(rest), Some((tag, kind))) = (line.strip_prefix("pub "), next.take()) {
            let (name, of) = rest.trim_end_matches(',').split_once(": ").unwrap();
            let of = of.trim_start_matches("Option<").trim_end_matches('>');
            let kind = if kind == "message" { of.into() } else { kind };
            all.get_mut(&within).unwrap().insert(tag, (kind, name.into()));
        }
    }
    all
}

#[test]
fn the_file_for_other_languages_has_these_messages() {
    let (proto, rust) = (of_proto(), of_rust());
    assert!(proto.len() > 10 && proto["Hello"].len() == 15, "{proto:?}");
    assert_eq!(proto, rust);
}

#[test]
fn the_file_for_other_languages_has_these_calls() {
    let proto = include_str!("gradus.proto");
    let package = proto.lines().find_map(|l| l.strip_prefix("package ")).unwrap().trim_end_matches(';');
    let calls: Vec<String> = proto
        .lines()
        .filter_map(|l| l.trim().strip_prefix("rpc "))
        .map(|l| format!("/{package}.Exchange/{}", l.split('(').next().unwrap()))
        .collect();
    use super::path::*;
    assert_eq!(calls, [MODE, JOIN, PULL, PUSH, LEAVE]);
}

//! Paths into a recipe's text, and what is set there.

use serde_json::{Map, Value};

/// The parts of a recipe in which a path may begin without naming them.
const PARTS: [&str; 3] = ["compile", "fit", "data"];
/// The keys of a recipe.
const ROOTS: [&str; 6] = ["version", "seeds", "data", "model", "compile", "fit"];

/// The whole path of one that may leave `compile`, `fit` or `data` out: `optimizer.lr` is `compile.optimizer.lr`. Fails with what there is.
pub(super) fn whole(recipe: &Value, path: &str) -> Result<String, String> {
    let first = path.split('.').next().unwrap_or_default().trim_end_matches('+');
    if ROOTS.contains(&first) {
        return Ok(path.into());
    }
    let part = PARTS.iter().find(|part| recipe[**part].get(first).is_some());
    part.map(|part| format!("{part}.{path}")).ok_or_else(|| {
        let there = PARTS.iter().map(|part| format!("{part} has {}", keys(&recipe[*part]))).collect::<Vec<_>>().join("; ");
        format!(
            "a recipe has no `{first}`: it has {}; {there}; a key that stands at its default takes its whole path, as `compile.ema`",
            ROOTS.join(", ")
        )
    })
}

/// Sets the value at a path: keys and numbers of places in lists, with dots between. With a `+` behind it a value, or each of a list, is added to the list
/// that is there.
pub(super) fn set(recipe: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let path = whole(recipe, path)?;
    let (path, adds) = path.strip_suffix('+').map_or((path.as_str(), false), |p| (p, true));
    let mut at = recipe;
    let mut walked = String::new();
    for key in path.split('.') {
        let there = keys(at);
        let none = format!("there is no `{key}` in `{}`: there is {there}", if walked.is_empty() { "the recipe" } else { &walked });
        at = match at {
            // what stands at its default is not written; whether there is such a key at all serde says when it reads the recipe
            Value::Object(map) if !key.is_empty() => map.entry(key).or_insert_with(|| Value::Object(Map::new())),
            Value::Array(list) => key.parse().ok().and_then(|i: usize| list.get_mut(i)).ok_or(none)?,
            _ => return Err(none),
        };
        walked = if walked.is_empty() { key.into() } else { format!("{walked}.{key}") };
    }
    if !adds {
        *at = value.clone();
        return Ok(());
    }
    if at.as_object().is_some_and(Map::is_empty) {
        *at = Value::Array(vec![]);
    }
    let Value::Array(list) = at else { return Err(format!("`{walked}` is no list, so nothing can be added to it by `+`")) };
    match value {
        Value::Array(more) => list.extend(more.iter().cloned()),
        one => list.push(one.clone()),
    }
    Ok(())
}

/// What is there to choose from.
fn keys(at: &Value) -> String {
    match at {
        Value::Object(map) if !map.is_empty() => map.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", "),
        Value::Array(list) if list.is_empty() => "an empty list".into(),
        Value::Array(list) => format!("a list, with places 0 to {}", list.len() - 1),
        Value::Object(_) => "nothing".into(),
        other => format!("the value {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_path_reaches() {
        let recipe = json!({ "compile": { "optimizer": { "lr": 1.0 } }, "fit": { "epochs": 3 }, "data": { "pipeline": [{ "op": "flatten" }] }, "model": { "layers": [1, 2] } });
        let after = |path: &str, value: Value| {
            let mut r = recipe.clone();
            set(&mut r, path, &value).map(|()| r)
        };
        assert_eq!(after("optimizer.lr", json!(2)).unwrap()["compile"]["optimizer"]["lr"], 2);
        assert_eq!(after("compile.optimizer.lr", json!(2)).unwrap()["compile"]["optimizer"]["lr"], 2);
        assert_eq!(after("epochs", json!(2)).unwrap()["fit"]["epochs"], 2);
        assert_eq!(after("fit.budget.updates", json!(2)).unwrap()["fit"]["budget"]["updates"], 2);
        assert_eq!(after("model.layers.1", json!(7)).unwrap()["model"]["layers"], json!([1, 7]));
        assert_eq!(after("pipeline+", json!({ "op": "balanced" })).unwrap()["data"]["pipeline"].as_array().unwrap().len(), 2);
        assert_eq!(after("model.layers+", json!([3, 4])).unwrap()["model"]["layers"], json!([1, 2, 3, 4]));
        assert_eq!(after("fit.callbacks+", json!(3)).unwrap()["fit"]["callbacks"], json!([3]));
        for (path, says) in [
            ("optimiser.lr", "no `optimiser`"),
            ("model.layers.2", "no `2` in `model.layers`: there is a list, with places 0 to 1"),
            ("model.layers.x", "no `x`"),
            ("fit.epochs.x", "no `x` in `fit.epochs`: there is the value 3"),
            ("fit.epochs+", "no list"),
            ("fit..x", "no ``"),
            ("", "no ``"),
        ] {
            let e = after(path, json!(1)).unwrap_err();
            assert!(e.contains(says), "{path}: {e}");
        }
    }
}

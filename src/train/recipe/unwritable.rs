//! What no recipe can hold, found and named.

use crate::error::{Error, Result};
use crate::model::compile::Compile;
use crate::train::settings::Fit;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Fails on settings that a text would not give back.
pub(super) fn check(compile: &Compile, fit: &Fit) -> Result<()> {
    if fit.validation.is_some() {
        return Err(Error::Unsupported {
            what: "a recipe that holds a data set".into(),
            at: "fit.validation".into(),
            help: "say where it comes from: `DataSpec::validation`".into(),
        });
    }
    // a path is all that serde refuses to write
    if serde_json::to_value(fit).is_err() {
        return Err(Error::Unsupported {
            what: "a recipe with a path that is no text".into(),
            at: "Fit".into(),
            help: "a recipe is text: name its files in UTF-8".into(),
        });
    }
    comes_back(compile, "compile")?;
    comes_back(fit, "fit")
}

/// Fails unless these settings are the same after they were written and read.
fn comes_back<T: Serialize + DeserializeOwned + PartialEq>(settings: &T, at: &str) -> Result<()> {
    let value = serde_json::to_value(settings);
    let closure = value.as_ref().ok().and_then(|v| closure(v, at));
    if let Some((name, at)) = closure {
        return Err(Error::Unsupported {
            what: format!("a recipe with `{name}`, which is code of the program,"),
            at,
            help:
                "use one of gradus' own, or keep the settings in the program; a whole model of one's own a recipe can name: `Recipe::named`"
                    .into(),
        });
    }
    let problem = match value.and_then(serde_json::from_value::<T>) {
        Ok(back) if back == *settings => return Ok(()),
        Ok(_) => "its text does not give all of them back".into(),
        Err(e) => e.to_string(),
    };
    Err(Error::Unsupported {
        what: format!("a recipe of these settings ({problem})"),
        at: at.into(),
        help: "give numbers that are finite; a setting without text is a fault of gradus: please report it".into(),
    })
}

/// The name of something that the user wrote, and where it stands. Files hold such a thing under the key `custom`, by its name alone.
fn closure(value: &Value, at: &str) -> Option<(String, String)> {
    match value {
        Value::Object(map) => match map.get("custom") {
            Some(Value::String(name)) => Some((name.clone(), at.into())),
            _ => map.iter().find_map(|(key, v)| closure(v, &format!("{at}.{key}"))),
        },
        Value::Array(all) => all.iter().enumerate().find_map(|(i, v)| closure(v, &format!("{at}[{i}]"))),
        _ => None,
    }
}

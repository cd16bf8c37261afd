//! Recipes from files: TOML, as `mnist --print-recipe` writes it, or JSON.

use anyhow::{Context, Result, ensure};
use gradus::train::Recipe;
use std::path::Path;

/// Far more than any recipe has.
const MOST: u64 = 16 << 20;

/// Reads a recipe. One that would write outside of this folder is refused, unless it is trusted.
pub fn read(path: &Path, trusted: bool) -> Result<Recipe> {
    let within = || format!("in {}", path.display());
    let meta = std::fs::metadata(path).with_context(|| format!("could not read {}", path.display()))?;
    ensure!(meta.is_file() && meta.len() < MOST, "{} is no recipe: it is no file, or has {MOST} bytes and more", path.display());
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    let recipe = if path.extension().is_some_and(|e| e == "json") {
        Recipe::from_json_anywhere(&text).with_context(within)?
    } else {
        let recipe: Recipe = toml::from_str(&text).map_err(|e| Recipe::unreadable(&e.to_string())).with_context(within)?;
        recipe.checked().with_context(within)?
    };
    if trusted { Ok(recipe) } else { recipe.inside().with_context(within) }
}

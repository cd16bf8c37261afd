//! Python's `{name:format}` in paths, as much of it as numbers need.

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// A number by name, with leading zeros, width and decimals.
    Number {
        name: String,
        zeros: bool,
        width: usize,
        decimals: Option<usize>,
    },
}

/// The pieces, or what is wrong. `{{` and `}}` stand for themselves.
pub(super) fn pieces(pattern: &str) -> Result<Vec<Piece>, String> {
    let (mut all, mut text, mut rest) = (Vec::new(), String::new(), pattern);
    while let Some(c) = rest.chars().next() {
        let double = rest.starts_with("{{") || rest.starts_with("}}");
        match c {
            '{' if !double => {
                let end = rest.find('}').ok_or("a `{` without its `}`")?;
                all.push(Piece::Text(std::mem::take(&mut text)));
                all.push(number(&rest[1..end])?);
                rest = &rest[end + 1..];
                continue;
            }
            '}' if !double => return Err("a `}` without its `{`".into()),
            c => text.push(c),
        }
        rest = &rest[c.len_utf8() * (1 + usize::from(double))..];
    }
    all.push(Piece::Text(text));
    Ok(all)
}

fn number(inside: &str) -> Result<Piece, String> {
    let (name, format) = inside.split_once(':').unwrap_or((inside, ""));
    let bad = || format!("`{inside}` is no name with a format like `:03` or `:.4f`");
    let digits = format.trim_end_matches(['d', 'f']);
    let (width, decimals) = digits.split_once('.').map_or((digits, None), |(w, d)| (w, Some(d)));
    let parse = |t: &str| t.parse::<usize>().ok().filter(|n| *n <= 64).ok_or_else(bad);
    let decimals = decimals.map(parse).transpose()?;
    let zeros = width.starts_with('0');
    let width = if width.is_empty() { 0 } else { parse(width)? };
    if name.is_empty() || name.contains('{') || format.len() - digits.len() > 1 {
        return Err(bad());
    }
    Ok(Piece::Number { name: name.into(), zeros, width, decimals })
}

/// The text with these numbers in place. A name that is not there stays as it is.
pub(super) fn fill(pieces: &[Piece], value: impl Fn(&str) -> Option<f64>) -> String {
    let one = |p: &Piece| match p {
        Piece::Text(t) => t.clone(),
        Piece::Number { name, zeros, width, decimals } => {
            let Some(v) = value(name) else { return format!("{{{name}}}") };
            let text = decimals.map_or_else(|| v.to_string(), |d| format!("{v:.d$}"));
            match (zeros, text.strip_prefix('-')) {
                (false, _) => format!("{text:>width$}"),
                (true, None) => format!("{text:0>width$}"),
                (true, Some(t)) => format!("-{t:0>0$}", width.saturating_sub(1)),
            }
        }
    };
    pieces.iter().map(one).collect()
}

/// Whether the pattern may have given this text.
pub(super) fn matches(pieces: &[Piece], text: &str) -> bool {
    match pieces.split_first() {
        None => text.is_empty(),
        Some((Piece::Text(t), rest)) => text.strip_prefix(t.as_str()).is_some_and(|after| matches(rest, after)),
        Some((Piece::Number { .. }, rest)) => {
            let number = text.bytes().take(80).take_while(|b| b.is_ascii_digit() || b" .-infaNe".contains(b)).count();
            (1..=number).any(|n| matches(rest, &text[n..]))
        }
    }
}

/// The names that it asks for.
pub(super) fn names(pieces: &[Piece]) -> impl Iterator<Item = &str> {
    pieces.iter().filter_map(|p| if let Piece::Number { name, .. } = p { Some(name.as_str()) } else { None })
}

#[cfg(test)]
mod tests {
    use crate::train::callbacks::placeholders::*;

    /// What `str.format` of Python gives.
    #[test]
    fn as_python() {
        let value = |n: &str| match n {
            "epoch" => Some(7.0),
            "val_loss" => Some(0.123456),
            "low" => Some(-1.5),
            _ => None,
        };
        let filled = |p: &str| fill(&pieces(p).unwrap(), value);
        assert_eq!(filled("m-{epoch:02d}-{val_loss:.2f}.w"), "m-07-0.12.w");
        assert_eq!(filled("{epoch}{{x}}{epoch:3}|{low:06.2f}|{val_loss}"), "7{x}  7|-01.50|0.123456");
        assert_eq!(filled("plain"), "plain");
        for bad in ["{", "a}", "{}", "{epoch:x}", "{epoch:.f}", "{epoch:999}", "{epoch:dd}"] {
            assert!(pieces(bad).is_err(), "{bad}");
        }
        let p = pieces("runs/{epoch:02d}-{val_loss:.2f}.w").unwrap();
        assert!(matches(&p, &fill(&p, |n| Some(if n == "epoch" { 12.0 } else { f64::NAN }))) && matches(&p, "runs/07--0.12.w"));
        assert!(!matches(&p, "/etc/07-0.12.w") && !matches(&p, "runs/../x/07-0.12.w") && !matches(&p, "runs/-.w"));
        assert_eq!(names(&pieces("{a}-{b:2}").unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    }
}

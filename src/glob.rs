//! Patterns over full names, as for weights to load and groups of parameters.

/// Whether a pattern covers a whole name: `*` any text, `?` one character.
pub(crate) fn covers(pattern: &str, name: &str) -> bool {
    let (p, n): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut i, mut j) = (0, 0);
    // the latest star, and where its text ends: only the latest one ever needs to cover more
    let mut star = None;
    while j < n.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(&c) if c == '?' || c == n[j] => (i, j) = (i + 1, j + 1),
            _ => match star {
                Some((at, end)) => {
                    star = Some((at, end + 1));
                    (i, j) = (at + 1, end + 1);
                }
                None => return false,
            },
        }
    }
    p[i..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn globs_cover_whole_names() {
        assert!(covers("fc.*", "fc.weight") && covers("*.bias", "blocks.0.fc1.bias") && covers("layer?.*", "layer3.0.weight"));
        assert!(!covers("fc.*", "xfc.weight") && !covers("fc", "fc.weight") && !covers("layer?.*", "layer12.weight"));
        assert!(covers("*", "") && covers("**", "a.b") && covers("a*b*c", "a.bb.c") && covers("Gr??e", "Größe") && !covers("", "a"));
        assert!(covers("*.?.w*t", "blocks.0.1.weight") && !covers("*.?.w*t", "blocks.0.1.weights"));
        assert!(covers("*?", "a.*") && !covers("?", "") && !covers("a*?", "a"));
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!covers(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!covers(&format!("{}b", "a*".repeat(50)), &"a".repeat(5000)));
    }
}

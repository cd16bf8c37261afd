//! How many workgroups are laid out where one axis cannot hold them all.

use super::limits::MAX_GROUPS;
use super::word::word;

/// `groups` workgroups along two axes, none above the limit. Their threads, of which none has more than 256, are counted through.
pub(crate) fn fold(groups: usize) -> [u32; 3] {
    let y = groups.div_ceil(MAX_GROUPS).max(1);
    word(groups.saturating_mul(256));
    [word(groups.div_ceil(y)), word(y), 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No axis above the limit, no workgroup missing, less than a row of them idle.
    #[test]
    fn grids_fold() {
        let limit = MAX_GROUPS;
        for groups in [1, 64, limit - 1, limit, limit + 1, 2 * limit, 2 * limit + 1, 1_000_003, limit * limit - 1, limit * limit] {
            let [x, y, z] = fold(groups).map(|g| g as usize);
            assert!(x <= limit && y <= limit && z == 1, "{groups}: {x} {y} {z}");
            assert!(x * y >= groups && x * y - groups < y, "{groups}: {x} {y}");
        }
        assert_eq!(fold(limit), [limit as u32, 1, 1]);
        assert_eq!(fold(limit + 1), [32_768, 2, 1]);
    }
}

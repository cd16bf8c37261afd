//! Losses and metrics without settings.

/// Makes the type of each, with its text for the documentation and that of its `new`.
macro_rules! plain {
    ($($(#[$text:meta])* pub struct $Name:ident, $new:literal;)*) => {$(
        $(#[$text])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        #[must_use]
        pub struct $Name {}

        impl $Name {
            #[doc = $new]
            pub fn new() -> Self {
                $Name {}
            }
        }
    )*};
}
pub(super) use plain;

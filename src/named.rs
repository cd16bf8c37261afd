//! Closed lists, as of optimizers or losses: one table makes the enum, its names in files and flags, and the way to what each kind does.

/// A value of a closed list.
pub(crate) trait Named {
    /// What every kind of the list can do: a trait object.
    type Kind: ?Sized;
    /// What files call its kind.
    fn word(&self) -> &'static str;
    /// The settings that it holds, as something that does its part.
    fn kind(&self) -> &Self::Kind;
    /// The same, to be changed.
    fn kind_mut(&mut self) -> &mut Self::Kind;
}

/// Makes an enum of a table. A row is a kind: its text for the documentation, the type of its settings and its name in files.
///
/// ```text
/// named! {
///     /// Any of the optimizers.
///     pub enum Optimizer: OptimizerKind, types in kinds, read as "optimizer" {
///         /// Stochastic gradient descent.
///         Sgd(Sgd) = "sgd" => Sgd::default(), "momentum" => Sgd::default().momentum(0.9);
///     }
/// }
/// ```
///
/// `OptimizerKind` is a trait that all the types have: [`Named::kind`] gives a value as that. `Optimizer::from(Sgd::default())` and serde come
/// along; files hold the name under the key `name`, beside the settings. With `read as`, `"momentum".parse::<Optimizer>()` gives what stands
/// behind `=>`, and `Optimizer::NAMES` lists these names; a row without `=>` is in files alone. `kinds::*` is the types of all rows.
///
/// A `mod` line stands in no table: neither rustfmt nor a reader would find its file. So each kind has its `mod` and `use` below the table.
macro_rules! named {
    (
        $(#[$about:meta])*
        pub enum $List:ident: $Kind:ident, types in $types:ident, read as $what:literal {
            $($(#[$text:meta])* $Name:ident($Type:ident) = $word:literal $(=> $new:expr $(, $other:literal => $made:expr)*)?;)*
        }
    ) => {
        named! {
            $(#[$about])*
            pub enum $List: $Kind, types in $types {
                $($(#[$text])* $Name($Type) = $word;)*
            }
        }

        impl $List {
            /// The names that [`FromStr`](std::str::FromStr) takes.
            pub const NAMES: &'static [&'static str] = &[$($(named!(@first $word, $new), $($other,)*)?)*];
        }

        #[doc = concat!("By its name, as flags and files have it. The names of ", stringify!($List), " and what they stand for:")]
        ///
        $($(
            #[doc = concat!("- `", $word, "`: `", stringify!($new), "`")]
            $(#[doc = concat!("- `", $other, "`: `", stringify!($made), "`")])*
        )?)*
        impl std::str::FromStr for $List {
            type Err = crate::error::Error;
            fn from_str(name: &str) -> crate::error::Result<Self> {
                match name {
                    $($(
                        $word => Ok($new.into()),
                        $($other => Ok($made.into()),)*
                    )?)*
                    _ => Err(crate::error::Error::unknown_choice($what, name, Self::NAMES)),
                }
            }
        }
    };
    (
        $(#[$about:meta])*
        pub enum $List:ident: $Kind:ident, types in $types:ident {
            $($(#[$text:meta])* $Name:ident($Type:ident) = $word:literal;)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(tag = "name")]
        #[non_exhaustive]
        pub enum $List {
            $(
                $(#[$text])*
                #[serde(rename = $word)]
                $Name($Type),
            )*
        }

        $(
            impl From<$Type> for $List {
                fn from(settings: $Type) -> Self {
                    $List::$Name(settings)
                }
            }
        )*

        /// The types of all rows, to be handed on at once.
        pub(crate) mod $types {
            #[allow(unused_imports)] // a type of two tables is handed on by the other
            pub use super::{$($Type),*};
        }

        impl crate::named::Named for $List {
            type Kind = dyn $Kind;
            fn word(&self) -> &'static str {
                match self {
                    $($List::$Name(_) => $word,)*
                }
            }
            fn kind(&self) -> &Self::Kind {
                match self {
                    $($List::$Name(settings) => settings,)*
                }
            }
            fn kind_mut(&mut self) -> &mut Self::Kind {
                match self {
                    $($List::$Name(settings) => settings,)*
                }
            }
        }
    };
    (@first $first:expr, $second:expr) => {
        $first
    };
}
pub(crate) use named;

//! Tells the library how far it is optimised: `fit` warns of a build that is 100 times slower. (`debug_assertions` would not tell: gradus' own
//! tests have both.)

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=GRADUS_OPT_LEVEL={}", std::env::var("OPT_LEVEL").unwrap_or_default());
}

//! The one way to stderr: progress, warnings, and texts whose control characters must not reach a terminal.
//!
//! The library prints only while a `fit` with [`Fit::verbose`](crate::train::Fit::verbose) of 1 or more runs. A warning is always a `tracing` event; where
//! the program has no subscriber for events, and such a `fit` runs on this thread, it is a line on stderr too.

use std::cell::Cell;
use std::fmt::{self, Display, Write as _};
use std::future::{Future, poll_fn};
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};

thread_local! {
    /// Whether a `fit` that prints runs on this thread.
    static SPEAKS: Cell<bool> = const { Cell::new(false) };
}

/// Whether the last line on the terminal is one that the next replaces, and has no end yet.
static OPEN: AtomicBool = AtomicBool::new(false);

/// Removes that line.
const CLEAR: &str = "\r\x1b[2K";

/// Work that prints progress and warnings if it `speaks`, on whatever thread it is polled.
pub(crate) async fn speaking<T>(speaks: bool, work: impl Future<Output = T>) -> T {
    let _ends = EndsLine(speaks && !SPEAKS.get());
    let mut work = pin!(work);
    poll_fn(|cx| {
        let _speaking = Speaking::new(speaks);
        work.as_mut().poll(cx)
    })
    .await
}

/// Until it is dropped: whether this thread prints progress and warnings.
pub(crate) struct Speaking(bool);

impl Speaking {
    pub fn new(speaks: bool) -> Self {
        Speaking(SPEAKS.replace(speaks))
    }
}

impl Drop for Speaking {
    fn drop(&mut self) {
        SPEAKS.set(self.0);
    }
}

/// Ends the line that a `fit` has left open, which an error or a dropped future has ended in the middle of it: the program's next output begins
/// on a new one.
struct EndsLine(bool);

impl Drop for EndsLine {
    fn drop(&mut self) {
        if self.0 && OPEN.swap(false, Ordering::Relaxed) {
            write("\n");
        }
    }
}

/// Shows a line that the next one replaces.
pub(crate) fn moving(line: &str) {
    OPEN.store(true, Ordering::Relaxed);
    write(&format!("{CLEAR}{line}"));
}

/// Prints a whole line.
pub(crate) fn line(text: &str) {
    let clear = if OPEN.swap(false, Ordering::Relaxed) { CLEAR } else { "" };
    write(&format!("{clear}{text}\n"));
}

/// Prints a line, if a `fit` that prints runs on this thread.
pub(crate) fn say(text: impl Display) {
    if SPEAKS.get() {
        line(&plain(&text).to_string());
    }
}

/// Writes to stderr. That it may be closed is no reason to stop training.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Warns: takes the arguments of `tracing::warn!`, and prints the event as a line where a `fit` prints and nobody subscribes to events.
macro_rules! warn_of {
    (@at [$($event:tt)*] [$($field:expr),*] $text:literal $($args:tt)*) => {{
        tracing::warn!($($event)* $text $($args)*);
        $crate::terminal::warned(&format_args!($text $($args)*), &[$($field),*]);
    }};
    (@at [$($event:tt)*] [$($field:expr),*] $name:ident = %$value:expr, $($rest:tt)*) => {
        $crate::terminal::warn!(@at [$($event)* $name = %$value,] [$($field,)* (stringify!($name), &$value)] $($rest)*)
    };
    (@at [$($event:tt)*] [$($field:expr),*] $name:ident = $value:expr, $($rest:tt)*) => {
        $crate::terminal::warn!(@at [$($event)* $name = $value,] [$($field,)* (stringify!($name), &$value)] $($rest)*)
    };
    (@at [$($event:tt)*] [$($field:expr),*] $name:ident, $($rest:tt)*) => {
        $crate::terminal::warn!(@at [$($event)* $name,] [$($field,)* (stringify!($name), &$name)] $($rest)*)
    };
    ($($all:tt)*) => { $crate::terminal::warn!(@at [] [] $($all)*) };
}
pub(crate) use warn_of as warn;

/// Prints the event of [`warn_of`] as a line.
pub(crate) fn warned(text: &dyn Display, fields: &[(&str, &dyn Display)]) {
    let heard = || !tracing::dispatcher::get_default(|d| d.is::<tracing::subscriber::NoSubscriber>());
    if !SPEAKS.get() || heard() {
        return;
    }
    say(warning(text, fields));
}

fn warning(text: &dyn Display, fields: &[(&str, &dyn Display)]) -> String {
    let mut out = format!("warning: {text}");
    for (i, (name, value)) in fields.iter().enumerate() {
        let _ = write!(out, "{}{name} {value}", if i == 0 { " (" } else { ", " });
    }
    out + if fields.is_empty() { "" } else { ")" }
}

/// Text whose control characters are written as `{:?}` writes them; lines and tabs stay.
///
/// Names come out of files and from the network: an escape sequence in one must not reach a terminal.
pub(crate) fn plain<T: Display>(text: T) -> Plain<T> {
    Plain(text)
}

pub(crate) struct Plain<T>(T);

impl<T: Display> Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

/// Escapes control characters in what is written to it: those below U+0020, DEL to U+009F, and the marks that turn the direction of text round.
struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut from = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| drives(*c)) {
            self.0.write_str(&text[from..at])?;
            write!(self.0, "{}", c.escape_debug())?;
            from = at + c.len_utf8();
        }
        self.0.write_str(&text[from..])
    }
}

fn drives(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How many columns of a terminal a text takes: two for the wide characters of East Asia and for emoji, none for marks that stand over others.
pub(crate) fn columns_of(text: &str) -> usize {
    text.chars().map(width).sum()
}

fn width(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 2,
        '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}' => 2,
        '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The beginning of a text that fits into so many columns.
pub(crate) fn cut(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += width(c);
        if used > columns {
            return &text[..at];
        }
    }
    text
}

/// The terminal's columns where nothing tells them.
const USUAL: usize = 80;

/// The columns of the terminal behind stderr: as `COLUMNS` says, else the system, else 80.
pub(crate) fn columns() -> usize {
    let told = std::env::var("COLUMNS").ok().and_then(|c| c.trim().parse().ok());
    told.filter(|c| *c > 0).or_else(of_system).unwrap_or(USUAL)
}

#[cfg(all(unix, feature = "ctrl-c"))]
fn of_system() -> Option<usize> {
    let mut size = std::mem::MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: all zeros is a `winsize`, and the request writes one through the pointer, which is of this frame.
    let size = unsafe {
        if libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, size.as_mut_ptr()) != 0 {
            return None;
        }
        size.assume_init()
    };
    Some(usize::from(size.ws_col)).filter(|c| *c > 0)
}

#[cfg(not(all(unix, feature = "ctrl-c")))]
fn of_system() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_escaped() {
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\r\u{9b}31m").to_string(), "a\\u{1b}]0;title\\u{7}b\\r\\u{9b}31m");
        assert_eq!(plain("\u{202e}evil").to_string(), "\\u{202e}evil");
        assert_eq!(plain("two\nlines\tand 40 °C, 数字 █").to_string(), "two\nlines\tand 40 °C, 数字 █");
    }

    #[test]
    fn columns_are_counted_and_cut() {
        assert_eq!((columns_of("█░ab"), columns_of("数字"), columns_of("e\u{301}")), (4, 4, 1));
        assert_eq!((cut("数字ab", 3), cut("abc", 3), cut("abc", 0)), ("数", "abc", ""));
    }

    /// Takes what `tracing::warn!` takes.
    #[test]
    fn a_warning_tells_its_fields() {
        let (step, name, e) = (3, "x".to_string(), "gone");
        let _quiet = Speaking::new(false);
        warn!("plain");
        warn!(step, name, "{e}, {}", 4);
        warn!(of = %e, twice = 2 * step, "the end: {e}");
        assert_eq!(warning(&"jumped", &[("step", &3), ("loss", &0.5)]), "warning: jumped (step 3, loss 0.5)");
        assert_eq!(warning(&"jumped", &[]), "warning: jumped");
    }

    /// Every warning goes through the macro: a program without a subscriber would not see one that goes to `tracing` alone.
    #[test]
    fn all_warnings_go_through_it() {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut found = vec![];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "rs")
                    && !path.ends_with("terminal.rs")
                    && std::fs::read_to_string(&path).unwrap().contains("tracing::warn!")
                {
                    found.push(path);
                }
            }
        }
        assert!(found.is_empty(), "write `crate::terminal::warn!` in {found:?}");
    }
}

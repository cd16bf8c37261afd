use super::*;
use tempfile::{TempDir, tempdir};

fn names(dir: &TempDir) -> Vec<String> {
    let mut all: Vec<String> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    all.sort();
    all
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, size) = open(path)?;
    rest(&mut file, size)
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, &[bytes], true)
}

#[test]
fn the_old_file_or_the_new_one() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a.gradus");
    put(&path, b"one").unwrap();
    replace(&path, &[b"tw", b"o"], false).unwrap();
    assert_eq!((fs::read(&path).unwrap(), names(&dir)), (b"two".to_vec(), vec!["a.gradus".to_string()]));
    assert_eq!(put(&dir.path().join("no/such/folder"), b"x").unwrap_err().kind(), ErrorKind::NotFound);
    // a folder stands there
    fs::create_dir_all(dir.path().join("b/c")).unwrap();
    assert_eq!(put(&dir.path().join("b"), b"x").unwrap_err().kind(), ErrorKind::IsADirectory);
    for no_file in ["", "..", "/", "b/c/"] {
        assert!(put(&dir.path().join(no_file), b"x").is_err() && try_replace(&dir.path().join(no_file)).is_err(), "{no_file}");
    }
    assert_eq!(names(&dir), ["a.gradus", "b"]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_modes_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("disk")).unwrap();
    symlink("disk/target", at("link")).unwrap();
    symlink(at("link"), at("further")).unwrap();
    // first where the link leads nowhere yet, then over what is there
    for bytes in [b"one", b"two"] {
        put(&at("further"), bytes).unwrap();
        assert_eq!(fs::read(at("disk/target")).unwrap(), bytes);
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink() && fs::symlink_metadata(at("further")).unwrap().is_symlink());
    }
    let mode = || fs::metadata(at("disk/target")).unwrap().permissions().mode() & 0o7777;
    for m in [0o600, 0o664, 0o640, 0o444] {
        fs::set_permissions(at("disk/target"), fs::Permissions::from_mode(m)).unwrap();
        put(&at("link"), b"three").unwrap();
        assert_eq!(mode(), m);
    }
    assert_eq!(fs::read_dir(at("disk")).unwrap().count(), 1);
    // in a circle
    symlink("b", at("a")).unwrap();
    symlink("a", at("b")).unwrap();
    assert!(put(&at("a"), b"x").is_err() && try_replace(&at("a")).is_err());
}

/// What is no regular file is never replaced, and never waited for.
#[cfg(unix)]
#[test]
fn pipes_and_devices() {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Command;
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    symlink("/dev/null", at("null")).unwrap();
    for name in ["pipe", "socket"] {
        let e = put(&at(name), b"x").unwrap_err();
        assert!(e.to_string().contains("no regular file") && try_replace(&at(name)).is_err(), "{e}");
        assert!(open(&at(name)).unwrap_err().to_string().contains("no regular file"));
        assert!(read(&at(name)).is_err());
    }
    assert!(fs::metadata(at("pipe")).unwrap().file_type().is_fifo());
    put(&at("null"), b"x").unwrap();
    try_replace(&at("null")).unwrap();
    assert!(fs::symlink_metadata(at("null")).unwrap().is_symlink());
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    // never to the end of what has none
    assert!(read(Path::new("/dev/zero")).is_err() && open(Path::new("/dev/null")).is_err() && open(dir.path()).is_err());
    if Path::new("/dev/full").exists() {
        assert!(put(Path::new("/dev/full"), b"x").is_err());
        assert!(fs::metadata("/dev/full").unwrap().file_type().is_char_device());
    }
    // a machine that lets us makes one of our own
    if Command::new("mknod").arg(at("own")).args(["c", "1", "3"]).stderr(std::process::Stdio::null()).status().is_ok_and(|s| s.success()) {
        put(&at("own"), b"x").unwrap();
        assert!(fs::metadata(at("own")).unwrap().file_type().is_char_device());
    }
}

#[test]
fn names_up_to_the_limit() {
    let dir = tempdir().unwrap();
    for n in [99, 100, 101, 200, 244, 250, 255] {
        let path = dir.path().join("n".repeat(n));
        try_replace(&path).unwrap();
        put(&path, b"x").unwrap();
        put(&path, b"y").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"y");
    }
    assert_eq!(names(&dir).len(), 7);
    let e = try_replace(&dir.path().join("n".repeat(256)));
    assert!(e.is_err() || cfg!(not(unix)), "told at once");
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_no_text() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"\xff\xfe.gradus"));
    let left = dir.path().join(OsStr::from_bytes(b"\xff\xfe.gradus.0123456789abcdef.tmp"));
    fs::write(&left, "x").unwrap();
    put(&path, b"x").unwrap();
    assert!(!left.exists() && path.exists());
}

/// Whole files at every moment, and no error, however many write at once.
#[test]
fn many_writers_of_one_path() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("one");
    let whole = |bytes: &[u8]| bytes.len() == 20_000 && bytes.iter().all(|b| *b == bytes[0]);
    put(&path, &[9; 20_000]).unwrap();
    let reads = std::thread::scope(|s| {
        let write = |n: u8| {
            let path = &path;
            move || {
                for _ in 0..60 {
                    remove_leftovers(path);
                    replace(path, &[&[n; 20_000]], false).unwrap();
                }
            }
        };
        let writers = [1, 2, 3].map(|n| s.spawn(write(n)));
        let mut reads = 0;
        while writers.iter().any(|w| !w.is_finished()) {
            assert!(whole(&fs::read(&path).unwrap()));
            reads += 1;
        }
        reads
    });
    assert!(reads > 0 && names(&dir) == ["one"], "{reads} {:?}", names(&dir));
}

#[test]
fn leftovers_of_the_dead_and_files_of_the_living() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("run.gradus");
    let kept = [
        "run.gradus",
        "run.gradus.20260131.tmp",
        "run.gradus.bak.tmp",
        "run.gradus2.1.tmp",
        "run.gradus.1.tmp.x",
        "run.gradus.0123456789abcdeg.tmp",
    ];
    for name in kept.into_iter().chain(["run.gradus.0123456789abcdee.tmp", "run.gradus.0123456789abcdef.tmp"]) {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    // a folder of that name is none of ours
    fs::create_dir(dir.path().join("run.gradus.2.tmp")).unwrap();
    // and this one is being written, here or in another process
    let (held, living) = temporary(&path, None).unwrap();
    remove_leftovers(&path);
    assert_eq!(names(&dir).len(), kept.len() + 2, "{:?}", names(&dir));
    assert!(living.exists());
    drop(held);
    remove_leftovers(&path);
    assert!(!living.exists() && kept.iter().all(|n| dir.path().join(n).exists()));
    // the first write of a process clears away what is left of long names too
    let long = dir.path().join("l".repeat(250));
    let (held, living) = temporary(&long, None).unwrap();
    drop(held);
    put(&long, b"x").unwrap();
    assert!(!living.exists());
}

/// A temporary file that something takes away all the time.
#[test]
fn taken_away() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a");
    let (file, temporary) = temporary(&path, None).unwrap();
    fs::remove_file(&temporary).unwrap();
    assert_eq!(fill(file, &temporary, &path, &[b"x"], None, true).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(names(&dir).len(), 0);
}

#[test]
fn told_before_there_is_anything_to_write() {
    let dir = tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    try_replace(&at("new")).unwrap();
    try_append(&at("new")).unwrap();
    assert_eq!(names(&dir).len(), 0);
    fs::write(at("log"), "three lines").unwrap();
    try_append(&at("log")).unwrap();
    assert_eq!(fs::read(at("log")).unwrap(), b"three lines");
    fs::create_dir(at("folder")).unwrap();
    assert!(try_append(&at("folder")).is_err() && try_replace(&at("folder")).is_err());
    assert!(try_append(&at("none/log")).is_err() && try_replace(&at("none/file")).is_err());
    make_folder(&at("none/file")).unwrap();
    try_replace(&at("none/file")).unwrap();
}

#[test]
fn no_more_than_it_has() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, [7; 100]).unwrap();
    assert_eq!(read(&path).unwrap(), [7; 100]);
    let (mut file, size) = open(&path).unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&[8; 50]).unwrap();
    assert_eq!((size, rest(&mut file, size).unwrap()), (100, vec![7; 100]));
    let e = rest(&mut file, u64::MAX).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::OutOfMemory);
}

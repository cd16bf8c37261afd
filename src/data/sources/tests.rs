use super::*;
use crate::data::idx_folder;
use crate::data::pinned::Pinned;
use std::ffi::OsString;
use std::fs;
use tempfile::{TempDir, tempdir};

/// The four files of a data set of `rows` and 2 images of 2 x 3.
fn files(rows: u8) -> [Vec<u8>; 4] {
    let images = |n: u8| [vec![0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, 2, 0, 0, 0, 3], (0..6 * n).collect()].concat();
    let labels = |n: u8| [vec![0, 0, 8, 1, 0, 0, 0, n], (0..n).collect()].concat();
    [images(rows), labels(rows), images(2), labels(2)]
}

const USUAL: [&str; 4] = super::super::folder::NAMES;

fn write(dir: &Path, names: [&str; 4], files: [Vec<u8>; 4]) {
    fs::create_dir_all(dir).unwrap();
    for (name, bytes) in names.iter().zip(files) {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

fn folder(names: [&str; 4], files: [Vec<u8>; 4]) -> TempDir {
    let dir = tempdir().unwrap();
    write(dir.path(), names, files);
    dir
}

#[track_caller]
fn refused<T: fmt::Debug>(result: Result<T>, code: &str, parts: &[&str]) {
    let e = result.unwrap_err();
    let text = e.to_string();
    assert_eq!(e.code(), code, "{text}");
    assert!(parts.iter().all(|p| text.contains(p)), "{text}");
}

#[test]
fn the_spellings() -> Result<()> {
    let dotted = ["train-images.idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"];
    let emnist = [
        "emnist-letters-train-images-idx3-ubyte",
        "emnist-letters-train-labels-idx1-ubyte",
        "emnist-letters-test-images-idx3-ubyte",
        "emnist-letters-test-labels-idx1-ubyte",
    ];
    for names in [USUAL, dotted, emnist] {
        let dir = folder(names, files(5));
        fs::write(dir.path().join("readme.txt"), "x").unwrap();
        let (train, test) = idx_folder(dir.path())?;
        assert_eq!((train.len(), test.len(), train.input_shape().dims()), (5, 2, &[2, 3][..]));
        assert_eq!(train.labels().and_then(|y| y.as_u8()), Some(&[0, 1, 2, 3, 4][..]));
        assert_eq!(Some(train.name()), dir.path().file_name().and_then(|n| n.to_str()));
    }
    Ok(())
}

#[test]
fn folders_that_are_no_data_set() {
    let dir = folder(USUAL, files(3));
    refused(idx_folder(dir.path().join("none")), "data-not-found", &["there is no folder", "GRADUS_DATA"]);
    fs::remove_file(dir.path().join(USUAL[3])).unwrap();
    refused(idx_folder(dir.path()), "data-not-found", &["lacks t10k-labels-idx1-ubyte[.gz]"]);
    refused(idx_folder(dir.path().join(USUAL[0])), "io", &["could not read"]);
    refused(idx_folder(tempdir().unwrap().path()), "data-not-found", &["any idx file"]);
    let two = folder(USUAL, files(3));
    write(two.path(), USUAL.map(|n| format!("other-{n}")).each_ref().map(String::as_str), files(3));
    refused(idx_folder(two.path()), "data-not-found", &["several data sets", "`other-*`"]);
}

#[test]
fn files_that_do_not_fit() {
    let [a, b, c, d] = files(3);
    let [_, four, ..] = files(4);
    let dir = folder(USUAL, [a.clone(), four, c.clone(), d.clone()]);
    refused(idx_folder(dir.path()), "bad-data", &["4 labels for the 3 images", USUAL[1], "byte 4"]);
    let dir = folder(USUAL, [a.clone(), a.clone(), c.clone(), d.clone()]);
    refused(idx_folder(dir.path()), "bad-data", &["has 3 axes, not 1"]);
    let dir = folder(USUAL, [a.clone(), b.clone(), c[..20].to_vec(), d.clone()]);
    refused(idx_folder(dir.path()), "bad-data", &["ends after 20", USUAL[2], "byte 20"]);
    let float = [vec![0, 0, 13, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], vec![0; 4]].concat();
    let dir = folder(USUAL, [float, b.clone(), c, d.clone()]);
    refused(idx_folder(dir.path()), "bad-data", &["f32, not u8"]);
    let tall = [vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 2], vec![0; 12]].concat();
    let dir = folder(USUAL, [a, b, tall, d]);
    refused(idx_folder(dir.path()), "bad-data", &["test images are [3, 2], training images [2, 3]"]);
}

fn archive() -> Archive {
    let [a, b, c, d] = files(7);
    let pin = |i: usize, bytes: Vec<u8>| {
        #[cfg(feature = "data-download")]
        let sha256 = hmac_sha256::Hash::hash(&bytes);
        #[cfg(not(feature = "data-download"))]
        let sha256 = [0; 32];
        Pinned { file: USUAL[i], packed: bytes.len() as u64, size: bytes.len() as u64, sha256, of_packed: false }
    };
    let files = vec![pin(0, a), pin(1, b), pin(2, c), pin(3, d)];
    Archive { files: files.leak(), ..archive::MNIST }
}

fn offline() -> MnistOptions {
    MnistOptions::default().offline(true)
}

const CHECKED: bool = cfg!(feature = "data-download");

#[test]
fn the_order_of_the_search() -> Result<()> {
    let root = tempdir().unwrap();
    let path = |p: &str| root.path().join(p);
    let env = |pairs: &'static [(&str, &str)]| {
        let base = root.path().to_path_buf();
        move |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| base.join(v).into_os_string())
    };
    let both = env(&[("GRADUS_DATA", "data"), ("XDG_CACHE_HOME", "cache"), ("HOME", "")]);
    refused(search(&offline(), &both, &archive()), "data-not-found", &["GRADUS_DATA (there is no folder", "cache", "--data DIR"]);
    refused(search(&offline(), &|_| None, &archive()), "data-not-found", &["GRADUS_DATA (not set)", "no cache folder"]);

    refused(search(&offline(), &both, &archive()), "data-not-found", &["GRADUS_DATA names ", "data, which is not there"]);
    #[cfg(feature = "data-download")]
    refused(
        search(&MnistOptions::default().mirrors([""; 0]), &both, &archive()),
        "download",
        &["GRADUS_DATA names ", "which is not there"],
    );
    // a file is told at once, whatever the cache holds
    fs::write(path("data"), "x").unwrap();
    refused(search(&offline(), &both, &archive()), "data-not-found", &["GRADUS_DATA names ", "data, which is no folder", "--data DIR"]);
    fs::remove_file(path("data")).unwrap();

    write(&path("cache/gradus/mnist"), USUAL, files(7));
    let found = search(&offline(), &both, &archive())?;
    assert_eq!((found.train.name(), found.train.len(), found.checked), ("mnist", 7, CHECKED));
    assert_eq!(found.whence.replace('\\', "/"), "~/cache/gradus/mnist");

    // GRADUS_DATA itself, with another set in it: that folder's name, and not called checked.
    write(&path("data"), USUAL, files(4));
    let found = search(&offline(), &both, &archive())?;
    assert_eq!((found.train.name(), found.train.len(), found.checked), ("data", 4, false));

    write(&path("data/mnist"), USUAL, files(6));
    let found = search(&offline(), &both, &archive())?;
    assert_eq!((found.train.name(), found.train.len(), found.checked), ("mnist", 6, false));
    write(&path("data/mnist"), USUAL, files(7));
    assert_eq!(search(&offline(), &both, &archive())?.checked, CHECKED);

    write(&path("mine"), USUAL, files(3));
    let found = search(&offline().dir(path("mine")), &both, &archive())?;
    assert_eq!((found.train.name(), found.train.len(), found.checked), ("mine", 3, false));

    // A damaged file in the folder that the user named is told, not passed over.
    fs::write(path("data/mnist").join(USUAL[0]), [0, 0, 8]).unwrap();
    refused(search(&offline(), &both, &archive()), "bad-data", &["inside its header"]);
    Ok(())
}

#[test]
fn options_are_values() {
    let o = MnistOptions::default().mirrors(["http://127.0.0.1/"]).cache("c").progress(|_| {});
    assert!(format!("{o:?}").contains("127.0.0.1") && o.clone().cache == Some("c".into()));
}

#[cfg(feature = "data-download")]
mod download {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Mutex;

    /// A server of the four files; the names that it was asked for.
    fn mirror() -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(|l| l.ok()).take_while(|l| !l.is_empty());
                let first = lines.next().unwrap_or_default();
                lines.count();
                let Some(i) = USUAL.iter().position(|n| first.contains(&format!("/{n}.gz "))) else { continue };
                log.lock().unwrap().push(USUAL[i].to_string());
                let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                let body = gz.write_all(&files(7)[i]).and_then(|()| gz.finish()).unwrap();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            }
        });
        (url, seen)
    }

    #[test]
    fn fetched_smallest_first_then_cached_then_mended() -> Result<()> {
        let (url, seen) = mirror();
        let root = tempdir().unwrap();
        let cache = root.path().join("deep/cache");
        let options = MnistOptions::default().mirrors([url]).cache(&cache);
        let found = search(&options, &|_| None, &archive())?;
        assert_eq!((found.train.len(), found.train.name(), found.checked), (7, "mnist", true));
        assert_eq!(found.whence, cache.display().to_string());
        assert_eq!(*seen.lock().unwrap(), [USUAL[3], USUAL[1], USUAL[2], USUAL[0]]);
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 4);

        search(&options.clone().offline(true), &|_| None, &archive())?;
        search(&options, &|_| None, &archive())?;
        assert_eq!(seen.lock().unwrap().len(), 4);

        let spoilt = cache.join(format!("{}.gz", USUAL[2]));
        let mut bytes = fs::read(&spoilt).unwrap();
        bytes[20] ^= 0x40;
        fs::write(&spoilt, bytes).unwrap();
        // Offline it is passed over and left; else replaced.
        refused(search(&options.clone().offline(true), &|_| None, &archive()), "data-not-found", &["deep"]);
        assert!(spoilt.exists());
        assert_eq!(search(&options, &|_| None, &archive())?.test.len(), 2);
        assert_eq!(seen.lock().unwrap()[4..], [USUAL[2]]);
        search(&options.offline(true), &|_| None, &archive())?;
        Ok(())
    }

    /// As `mirror`, but what it sends for these files is not theirs.
    fn lying_mirror(lies: &'static [usize]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(|l| l.ok()).take_while(|l| !l.is_empty());
                let first = lines.next().unwrap_or_default();
                lines.count();
                let Some(i) = USUAL.iter().position(|n| first.contains(&format!("/{n}.gz "))) else { continue };
                let mut body = files(7)[i].clone();
                if lies.contains(&i) {
                    *body.last_mut().unwrap() ^= 1;
                }
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            }
        });
        url
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    }

    /// What a liar gave is not kept under any name; what was right is, and not fetched again. A piece from an earlier run that was killed is
    /// no file.
    #[test]
    fn only_what_is_right_is_kept() -> Result<()> {
        let root = tempdir().unwrap();
        let cache = root.path().join("cache");
        fs::create_dir(&cache).unwrap();
        let piece = format!(".{}.4711-0.part", USUAL[2]);
        fs::write(cache.join(&piece), &files(7)[2][..9]).unwrap();
        let options = MnistOptions::default().cache(&cache);
        // labels come first, for they are small: right; then the test images: wrong
        let e = search(&options.clone().mirrors([lying_mirror(&[2, 0])]), &|_| None, &archive());
        refused(e, "download", &["SHA-256", USUAL[2], "help:"]);
        let mut kept = vec![piece.clone(), USUAL[1].to_string(), USUAL[3].to_string()];
        kept.sort();
        assert_eq!(names(&cache), kept);
        let (url, seen) = mirror();
        // the liar is asked first, then the honest one
        let found = search(&options.clone().mirrors([lying_mirror(&[2, 0]), url]), &|_| None, &archive())?;
        assert_eq!((found.train.len(), found.checked), (7, true));
        assert_eq!(*seen.lock().unwrap(), [USUAL[2], USUAL[0]]);
        // a file that ends in the middle, as a full disk or a copy by hand leaves it, is fetched again
        fs::write(cache.join(USUAL[1]), &files(7)[1][..10]).unwrap();
        search(&options.clone().mirrors([mirror().0]), &|_| None, &archive())?;
        search(&options.offline(true), &|_| None, &archive())?;
        Ok(())
    }

    /// Two processes fetch into one cache at the same time: both have the data, and the cache has each file once.
    #[test]
    fn two_processes_at_once() -> Result<()> {
        const URL: &str = "GRADUS_TEST_FETCH_URL";
        const CACHE: &str = "GRADUS_TEST_FETCH_CACHE";
        if let (Some(url), Some(cache)) = (std::env::var_os(URL), std::env::var_os(CACHE)) {
            let options = MnistOptions::default().cache(cache).mirrors([url.to_string_lossy()]);
            assert!(search(&options, &|_| None, &archive())?.checked);
            return Ok(());
        }
        let (url, _) = mirror();
        let root = tempdir().unwrap();
        let cache = root.path().join("cache");
        let start = || {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "data::sources::tests::download::two_processes_at_once"])
                .env(URL, &url)
                .env(CACHE, &cache)
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        for child in [start(), start(), start()] {
            let out = child.wait_with_output().unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
            assert!(String::from_utf8_lossy(&out.stdout).contains("1 passed"), "it ran no test");
        }
        let mut whole = USUAL.map(|n| format!("{n}.gz"));
        whole.sort();
        assert_eq!(names(&cache), whole);
        search(&MnistOptions::default().cache(&cache).offline(true), &|_| None, &archive())?;
        Ok(())
    }

    /// Without a place to keep it, the data is used all the same, and whence it came is said.
    #[test]
    fn a_cache_that_cannot_be_written() -> Result<()> {
        let (url, _) = mirror();
        let root = tempdir().unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        let options = MnistOptions::default().mirrors([url.clone()]).cache(root.path().join("file/cache"));
        let found = search(&options, &|_| None, &archive())?;
        assert!(found.whence.starts_with(&url) && found.checked, "{}", found.whence);
        Ok(())
    }

    #[test]
    fn the_mirror_of_the_environment() -> Result<()> {
        let (url, seen) = mirror();
        let root = tempdir().unwrap();
        let env = |key: &str| match key {
            "GRADUS_MNIST_URL" => Some(OsString::from(&url)),
            "XDG_CACHE_HOME" => Some(root.path().into()),
            _ => None,
        };
        search(&MnistOptions::default(), &env, &archive())?;
        assert_eq!(seen.lock().unwrap().len(), 4);
        assert!(root.path().join("gradus/mnist").join(format!("{}.gz", USUAL[0])).exists());
        Ok(())
    }
}

#[cfg(not(feature = "data-download"))]
#[test]
fn without_the_feature_it_says_so() {
    let none = tempdir().unwrap();
    let options = MnistOptions::default().cache(none.path());
    refused(search(&options, &|_| None, &archive()), "data-not-found", &["feature `data-download`"]);
}

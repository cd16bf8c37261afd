//! Sets of a few rows in the forms of the known ones.

use super::*;
use crate::data::cifar::CIFAR10_FILES;
use crate::data::sources::{ArchiveOptions, Found, search};
use crate::data::tar;
use crate::tensor::HostTensor;
use std::fs;
use tempfile::tempdir;

/// Rows of these labels; the pixels of row `i` are all `i`.
fn rows(labels: &[&[u8]]) -> Vec<u8> {
    labels.iter().zip(0..).flat_map(|(l, i)| l.iter().copied().chain(std::iter::repeat_n(i, 3072))).collect()
}

fn cifar10_tar() -> Vec<u8> {
    let batch = |n: u8| rows(&[&[n], &[9 - n]]);
    let names: Vec<String> = (1..=5).rev().map(|n| format!("cifar-10-batches-bin/data_batch_{n}.bin")).collect();
    let bytes: Vec<Vec<u8>> = (1..=5).rev().map(batch).collect();
    let mut files = vec![("cifar-10-batches-bin/", &b""[..]), ("cifar-10-batches-bin/readme.html", b"<html>")];
    files.extend(names.iter().map(String::as_str).zip(bytes.iter().map(Vec::as_slice)));
    let test = batch(0);
    files.push(("cifar-10-batches-bin/test_batch.bin", &test));
    tar::packed(&files)
}

fn offline(env: &Path, archive: &Archive) -> Result<Found> {
    let cache = env.join("no-cache");
    search(&ArchiveOptions::default().offline(true).cache(cache), &|key| (key == "GRADUS_DATA").then(|| env.into()), archive)
}

fn labels(set: &Dataset, field: &str) -> Vec<u8> {
    set.values(field).and_then(HostTensor::as_u8).unwrap().to_vec()
}

#[track_caller]
fn refused(result: Result<Found>, code: &str, parts: &[&str]) {
    let e = result.map(|f| f.whence).unwrap_err();
    let text = e.to_string();
    assert_eq!(e.code(), code, "{text}");
    assert!(parts.iter().all(|p| text.contains(p)), "{text}");
}

const UNCHECKED: &str = if cfg!(feature = "data-download") { "cifar10 (unchecked)" } else { "cifar10" };

#[test]
fn the_batches_of_a_folder() -> Result<()> {
    let root = tempdir().unwrap();
    let dir = root.path().join("cifar10");
    fs::create_dir(&dir).unwrap();
    refused(
        offline(root.path(), &CIFAR10),
        "data-not-found",
        &["lacks cifar-10-binary.tar.gz, and data_batch_1.bin[.gz], test_batch.bin[.gz]", "GRADUS_CIFAR10_URL"],
    );
    fs::write(dir.join("data_batch_3.bin"), rows(&[&[7], &[8]])).unwrap();
    refused(offline(root.path(), &CIFAR10), "data-not-found", &["and test_batch.bin[.gz]"]);
    fs::create_dir(dir.join(CIFAR10_FILES.folder)).unwrap();
    fs::write(dir.join(CIFAR10_FILES.folder).join("test_batch.bin"), rows(&[&[4]])).unwrap();
    fs::write(dir.join("data_batch_1.bin"), rows(&[&[1], &[2]])).unwrap();
    // some of the files, which no sum is known of: used, and told
    let found = offline(root.path(), &CIFAR10)?;
    assert_eq!((found.train.name(), found.checked), (UNCHECKED, false));
    assert_eq!((labels(&found.train, "y"), labels(&found.test, "y")), (vec![1, 2, 7, 8], vec![4]));
    assert_eq!((found.train.input_shape().dims(), found.train.class_name(9)), (&[3, 32, 32][..], "truck".to_string()));
    assert_eq!(&labels(&found.train, "x")[3 * 3072 - 2..][..4], [0, 0, 1, 1]);

    fs::write(dir.join("data_batch_2.bin"), rows(&[&[0], &[10]])).unwrap();
    refused(
        offline(root.path(), &CIFAR10),
        "bad-data",
        &["row 1 has the label 10 in `y`, which has 10 classes", "data_batch_2.bin", "byte 3073"],
    );
    fs::write(dir.join("data_batch_2.bin"), &rows(&[&[0]])[1..]).unwrap();
    refused(offline(root.path(), &CIFAR10), "bad-data", &["3072 bytes are no rows of 3073"]);
    // longer than any file of the set: not read at all
    fs::File::create(dir.join("data_batch_2.bin")).unwrap().set_len(40 << 20).unwrap();
    refused(offline(root.path(), &CIFAR10), "bad-data", &["it has 41943040 bytes", "more than 30730000"]);
    fs::write(dir.join("data_batch_2.bin"), b"").unwrap();
    refused(offline(root.path(), &CIFAR10), "bad-data", &["0 bytes are no rows"]);
    Ok(())
}

#[test]
fn a_tar_file_that_is_not_packed() -> Result<()> {
    let root = tempdir().unwrap();
    let dir = root.path().join("cifar10");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("cifar-10-binary.tar"), cifar10_tar()).unwrap();
    let found = offline(root.path(), &CIFAR10)?;
    assert_eq!((found.train.name(), found.checked), (UNCHECKED, false));
    // in the order of their numbers, not of the tar file
    assert_eq!(labels(&found.train, "y"), [1, 8, 2, 7, 3, 6, 4, 5, 5, 4]);
    fs::write(dir.join("cifar-10-binary.tar"), &cifar10_tar()[..5000]).unwrap();
    refused(offline(root.path(), &CIFAR10), "bad-data", &["longer than what is there"]);
    fs::write(dir.join("cifar-10-binary.tar"), tar::packed(&[("data_batch_1.bin", b"")])).unwrap();
    refused(offline(root.path(), &CIFAR10), "bad-data", &["lacks cifar-10-batches-bin/data_batch_1.bin"]);
    Ok(())
}

#[test]
fn two_labels_a_row() -> Result<()> {
    let root = tempdir().unwrap();
    let dir = root.path().join("cifar-100-binary");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("train.bin"), rows(&[&[19, 99], &[0, 4]])).unwrap();
    fs::write(dir.join("test.bin"), rows(&[&[3, 5]])).unwrap();
    let found = offline(root.path(), &CIFAR100)?;
    let names: Vec<String> = found.train.fields().into_iter().map(|f| f.name).collect();
    assert_eq!(names, ["x", "y", "coarse"]);
    assert_eq!((labels(&found.train, "y"), labels(&found.train, "coarse")), (vec![99, 4], vec![19, 0]));
    assert_eq!(labels(&found.test, "y"), [5]);
    assert_eq!(found.train.class_name(99), "worm");
    fs::write(dir.join("test.bin"), rows(&[&[20, 5]])).unwrap();
    refused(offline(root.path(), &CIFAR100), "bad-data", &["the label 20 in `coarse`"]);
    Ok(())
}

/// A folder of MNIST's format is not taken for Fashion-MNIST unless its name or its sums say so.
#[test]
fn another_set_in_the_same_format() -> Result<()> {
    let root = tempdir().unwrap();
    let write = |dir: &Path| {
        fs::create_dir_all(dir).unwrap();
        for (name, rank) in NAMES.iter().zip([3, 1, 3, 1]) {
            let axes = [[0, 0, 0, 1], [0, 0, 0, 2], [0, 0, 0, 2]];
            let values = if rank == 3 { 4 } else { 1 };
            fs::write(dir.join(name), [&[0, 0, 8, rank][..], &axes.as_flattened()[..4 * usize::from(rank)], &vec![1; values]].concat())
                .unwrap();
        }
    };
    write(root.path());
    refused(offline(root.path(), &FASHION_MNIST), "data-not-found", &["is not Fashion-MNIST by its SHA-256", "GRADUS_FASHION_MNIST_URL"]);
    assert_eq!(offline(root.path(), &MNIST)?.train.len(), 1);
    write(&root.path().join("FashionMNIST/raw"));
    let found = offline(root.path(), &FASHION_MNIST)?;
    assert!(found.train.name().starts_with("fashion-mnist") && !found.checked);
    assert_eq!(found.test.class_name(1), "Trouser");
    Ok(())
}

#[cfg(feature = "data-download")]
#[test]
fn a_packed_sum_is_of_the_packed_bytes() -> Result<()> {
    use std::io::{BufRead, BufReader, Write};
    let gz = |bytes: &[u8], level| {
        let mut e = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
        e.write_all(bytes).and_then(|()| e.finish()).unwrap()
    };
    let (right, other) = (gz(&cifar10_tar(), 6), gz(&cifar10_tar(), 0));
    let pin = Pinned { packed: right.len() as u64, sha256: hmac_sha256::Hash::hash(&right), ..CIFAR10.files[0].clone() };
    let archive = Archive { files: vec![pin].leak(), ..CIFAR10 };
    let serve = |body: Vec<u8>| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(|l| l.ok()).take_while(|l| !l.is_empty());
                let found = lines.next().is_some_and(|l| l.contains("GET /cifar-10-binary.tar.gz "));
                lines.count();
                let status = if found { "200 OK" } else { "404 Not Found" };
                let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                let _ = stream.write_all(&body);
            }
        });
        url
    };
    let root = tempdir().unwrap();
    let options = ArchiveOptions::default().cache(root.path().join("cache"));
    // the same content packed otherwise, and the content itself, are other files
    for body in [other.clone(), cifar10_tar()] {
        refused(
            search(&options.clone().mirrors([serve(body)]), &|_| None, &archive),
            "download",
            &["not the SHA-256", "GRADUS_CIFAR10_URL"],
        );
    }
    let found = search(&options.clone().mirrors([serve(right.clone())]), &|_| None, &archive)?;
    assert_eq!((found.train.name(), found.train.len(), found.test.len(), found.checked), ("cifar10", 10, 2, true));
    let kept = root.path().join("cache/cifar-10-binary.tar.gz");
    assert!(fs::read(&kept).unwrap() == right);
    assert!(search(&options.clone().offline(true), &|_| None, &archive)?.checked);
    // of the unpacked file nobody can tell whether it is the right one: it is passed over, and left
    let unpacked = root.path().join("cache/cifar-10-binary.tar");
    fs::write(&unpacked, cifar10_tar()).unwrap();
    assert!(search(&options.clone().mirrors([""; 0]), &|_| None, &archive)?.checked);
    assert!(fs::read(&unpacked).unwrap() == cifar10_tar());
    // what has not the sum of the packed bytes is not unpacked, whatever is wrong in it
    let mut damaged = right.clone();
    damaged[20] ^= 0x40;
    let says = |e: Error| if let Error::BadData { problem, .. } = e { problem } else { e.to_string() };
    let told = File::pinned(kept.clone(), damaged, &archive.files[0]).map(drop).map_err(says);
    assert_eq!(told, Err("it has not the SHA-256 of cifar-10-binary.tar.gz".into()));
    // in a folder the same: checked by its packed bytes alone
    let data = root.path().join("cifar10");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("cifar-10-binary.tar.gz"), &right).unwrap();
    assert!(offline(root.path(), &archive)?.checked);
    fs::write(data.join("cifar-10-binary.tar.gz"), &other).unwrap();
    assert_eq!(offline(root.path(), &archive)?.train.name(), "cifar10 (unchecked)");
    // and a file in the cache that was packed otherwise is fetched again
    fs::write(&kept, &other).unwrap();
    refused(search(&options.clone().offline(true), &|_| None, &archive), "data-not-found", &["the network was not to be asked"]);
    search(&options.mirrors([serve(right.clone())]), &|_| None, &archive)?;
    assert!(fs::read(&kept).unwrap() == right);
    Ok(())
}

/// Every archive has a name for each class, a folder of its own name, and a help that names its files and its variable.
#[test]
fn the_table() {
    for a in [MNIST, FASHION_MNIST, CIFAR10, CIFAR100] {
        assert!(a.folders[0] == a.name && a.help.contains(a.variable), "{}", a.name);
        assert!(a.files.iter().all(|f| a.help.contains(&format!("{}.gz", f.file))), "{}", a.name);
        let mut names = a.classes.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), a.classes.len(), "{}: two classes of one name", a.name);
    }
    assert!(CIFAR100.classes.is_sorted());
    let tar = 6 * 10_000 * 3074 + (1 << 20);
    assert!(CIFAR10.files[0].size > tar && CIFAR100.files[0].size > tar);
}

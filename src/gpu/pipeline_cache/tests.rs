use super::*;
use crate::gpu::{Gpu, adapters};

fn file(dir: &Path) -> CacheFile {
    CacheFile { dir: dir.into(), adapter: "vulkan_1_2".into(), identity: "gradus 1, driver 2".into(), extension: EXTENSION }
}

fn content() -> Vec<u8> {
    (0..1000u32).map(|i| (i * 7) as u8).collect()
}

#[test]
fn what_is_kept_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let f = file(&dir.path().join("made/on/the/way"));
    assert_eq!(f.load(), None);
    for data in [content(), vec![], vec![9]] {
        f.store(&data);
        assert_eq!(f.load(), Some(data));
    }
    // one file, nothing half written
    assert_eq!(fs::read_dir(&f.dir).unwrap().count(), 1);
}

#[test]
fn every_damage_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let f = file(dir.path());
    f.store(&content());
    let good = fs::read(f.path()).unwrap();
    let with = |bytes: &[u8]| {
        fs::write(f.path(), bytes).unwrap();
        f.load()
    };
    assert_eq!(with(&good), Some(content()));
    for len in (0..HEADER + 40).chain([good.len() / 2, good.len() - 1]) {
        assert_eq!(with(&good[..len]), None, "cut to {len}");
    }
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(with(&bad), None, "a bit of byte {at} turned");
    }
    assert_eq!(with(&[&good[..], &[0]].concat()), None);
    assert_eq!(with(b""), None);
    assert_eq!(with(&[0xff; 5000]), None);
    // lengths that no file has, with a right sum: nothing is taken for that much
    let mut long = good[..24].to_vec();
    long[12..24].fill(0xff);
    let sum = sum(&[&long, &good[HEADER..]]);
    assert_eq!(with(&[&long, &sum.to_le_bytes()[..], &good[HEADER..]].concat()), None);
    // the next process writes a good one over it
    f.store(&content());
    assert_eq!(f.load(), Some(content()));
}

/// The name has only a sum of the identity: the header has all of it.
#[test]
fn another_drivers_file_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (file(dir.path()), CacheFile { identity: "gradus 1, driver 3".into(), ..file(dir.path()) });
    theirs.store(&content());
    assert_eq!(ours.load(), None);
    fs::copy(theirs.path(), ours.path()).unwrap();
    assert_eq!(ours.load(), None);
    assert_eq!(theirs.load(), Some(content()));
}

#[test]
fn folders_that_cannot_be_used_are_no_error() {
    let dir = tempfile::tempdir().unwrap();
    // a file where the folder should be; a folder where the file should be
    fs::write(dir.path().join("file"), "").unwrap();
    let under_file = file(&dir.path().join("file"));
    let taken = file(&dir.path().join("folder"));
    fs::create_dir_all(taken.path().join("full")).unwrap();
    let mut all = vec![under_file, taken];
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let locked = file(&dir.path().join("locked"));
        locked.store(&content());
        fs::set_permissions(locked.path(), fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(&locked.dir, fs::Permissions::from_mode(0o555)).unwrap();
        // root may all the same
        if fs::read(locked.path()).is_err() {
            all.push(locked);
        }
    }
    for f in &all {
        assert_eq!(f.load(), None);
        f.store(&content());
        assert_eq!(f.load(), None, "{}", f.dir.display());
    }
    let left =
        |f: &CacheFile| fs::read_dir(&f.dir).map_or(0, |d| d.filter(|e| e.as_ref().unwrap().path().extension().unwrap() == "tmp").count());
    assert!(all.iter().all(|f| left(f) == 0));
}

#[test]
fn writers_at_once_leave_a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = |n: u8| vec![n; 20_000 + usize::from(n)];
    std::thread::scope(|s| {
        for n in 0..4 {
            let f = file(dir.path());
            s.spawn(move || (0..50).for_each(|_| f.store(&data(n))));
        }
        let f = file(dir.path());
        let mut seen = 0;
        while seen < 50 {
            let Some(found) = f.load() else { continue };
            assert_eq!(found, data(found[0]));
            seen += 1;
        }
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_out_of_date_goes() {
    let dir = tempfile::tempdir().unwrap();
    let day = Duration::from_secs(24 * 3600);
    let other = |i: usize| CacheFile { identity: format!("driver {i}"), ..file(dir.path()) };
    let stranger = CacheFile { adapter: "vulkan_1_20".into(), ..file(dir.path()) };
    let aged = |path: PathBuf, days: u32| {
        fs::write(&path, "x").unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_modified(SystemTime::now() - days * day).unwrap();
        path
    };
    let others: Vec<PathBuf> = (0..5).map(|i| aged(other(i).path(), 10 + i as u32)).collect();
    let kept = [aged(stranger.path(), 90), aged(dir.path().join("notes.txt"), 90), aged(dir.path().join(".vulkan_1_2.7-0.part"), 0)];
    let temporary = other(8).path();
    let temporary = temporary.with_file_name(format!("{}.0123456789abcdef.tmp", temporary.file_name().unwrap().to_str().unwrap()));
    let gone = [aged(other(9).path(), 31), aged(dir.path().join(".vulkan_1_2.8-0.part"), 2), aged(temporary, 2)];
    file(dir.path()).store(&content());
    assert!(kept.iter().all(|p| p.exists()) && gone.iter().all(|p| !p.exists()));
    assert_eq!(others.iter().map(|p| p.exists()).collect::<Vec<_>>(), [true, true, true, false, false]);
    assert_eq!(file(dir.path()).load(), Some(content()));
}

#[test]
fn too_much_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let f = file(dir.path());
    f.store(&vec![0; LARGEST + 1]);
    assert_eq!(f.load(), None);
    fs::File::create(f.path()).unwrap().set_len(2 * LARGEST as u64).unwrap();
    assert_eq!(f.load(), None);
}

#[test]
fn a_switch_chooses_the_folder() {
    let with = |pairs: &'static [(&str, &str)]| folder(&move |k| pairs.iter().find(|p| p.0 == k).map(|p| p.1.into()));
    assert_eq!(with(&[("XDG_CACHE_HOME", "/c"), ("HOME", "/h")]), Some("/c/gradus/pipelines".into()));
    assert_eq!(with(&[("XDG_CACHE_HOME", "/c"), ("GRADUS_PIPELINE_CACHE", "/d")]), Some("/d".into()));
    for off in [&[("HOME", "/h"), ("GRADUS_PIPELINE_CACHE", "off")], &[("HOME", "/h"), ("GRADUS_PIPELINE_CACHE", "0")]] {
        assert_eq!(with(off), None);
    }
    assert_eq!(with(&[]), None);
}

fn compile(gpu: &Gpu, cache: &wgpu::PipelineCache) {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let source = wgpu::ShaderSource::Wgsl("@compute @workgroup_size(1) fn main() {}".into());
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor { label: None, source });
    let _ = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: Some(cache),
    });
    assert!(pollster::block_on(scope.pop()).is_none());
    gpu.check("a pipeline").unwrap();
}

/// What a file may hold, down to what has a right sum and is no cache: the device makes its pipelines.
#[test]
fn the_device_outlives_any_file() {
    let Some(gpu) = adapters().last().and_then(|a| Gpu::open(a).ok()) else {
        assert!(std::env::var("GRADUS_REQUIRE_GPU").as_deref() != Ok("1"), "no adapter");
        return eprintln!("skipped: no adapter");
    };
    let dir = tempfile::tempdir().unwrap();
    let file = || CacheFile::of(&gpu.summary, dir.path().into(), EXTENSION, "");
    let Some(f) = file().filter(|_| gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE)) else {
        return eprintln!("skipped: the adapter has no pipeline caches");
    };
    let own = PipelineCache::over(&gpu.device, file().unwrap()).unwrap();
    let data = own.cache.get_data().unwrap();
    let foreign: Vec<u8> = data.iter().enumerate().map(|(i, b)| b ^ u8::from((20..60).contains(&i))).collect();
    for content in [&data[..], &data[..data.len() / 2], &foreign, &[], &[7; 300]] {
        f.store(content);
        assert_eq!(f.load().as_deref(), Some(content));
        let made = PipelineCache::over(&gpu.device, file().unwrap()).unwrap();
        compile(&gpu, &made.cache);
        made.keep();
        assert!(f.load().is_some());
    }
    fs::write(f.path(), "what is this?").unwrap();
    compile(&gpu, &PipelineCache::over(&gpu.device, file().unwrap()).unwrap().cache);
    assert!(!gpu.is_lost());
}

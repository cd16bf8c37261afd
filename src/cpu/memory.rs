//! How much memory is left for this process: the machine's, its control groups' (containers, systemd, clusters), and its own limits. Linux alone
//! tells.

use std::path::{Path, PathBuf};

/// Bytes that the process may still take, where the system tells.
pub(super) fn available() -> Option<u64> {
    available_under(Path::new("/"))
}

/// As [`available`], with the system's files below this folder.
fn available_under(root: &Path) -> Option<u64> {
    let proc = root.join("proc");
    let info = read(&proc.join("meminfo"))?;
    let swap = kib(&info, "SwapFree").unwrap_or(0);
    let machine = kib(&info, "MemAvailable")? + swap;
    [group(root, swap), own_limits(&proc)].into_iter().flatten().fold(machine, u64::min).into()
}

fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The value of a line `name: 12 kB`, in bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    Some(1024 * rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?)
}

/// What `ulimit -v` and `ulimit -d` leave.
fn own_limits(proc: &Path) -> Option<u64> {
    let (limits, status) = (read(&proc.join("self/limits"))?, read(&proc.join("self/status"))?);
    let soft = |name: &str| limits.lines().find_map(|l| l.strip_prefix(name))?.split_whitespace().next()?.parse::<u64>().ok();
    let left = |limit: &str, used: &str| Some(soft(limit)?.saturating_sub(kib(&status, used)?));
    [left("Max address space", "VmSize"), left("Max data size", "VmData")].into_iter().flatten().min()
}

/// The two versions of control groups.
#[derive(Clone, Copy)]
enum Version {
    One,
    Two,
}

/// The least that the process' control group and those above it leave; `swap` is what the machine has.
fn group(root: &Path, swap: u64) -> Option<u64> {
    let (groups, mounts) = (read(&root.join("proc/self/cgroup"))?, read(&root.join("proc/self/mountinfo"))?);
    let mut least = None;
    for line in groups.lines() {
        // `5:memory:/docker/4f1`, `0::/user.slice`
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let version = match controllers {
            "" => Version::Two,
            list if list.split(',').any(|c| c == "memory") => Version::One,
            _ => continue,
        };
        let Some((point, mut folder)) = mounted(&mounts, version, path) else { continue };
        let (point, mut at) = (under(root, &point), under(root, &point));
        at.push(std::mem::take(&mut folder));
        loop {
            least = [least, left(&at, version, swap)].into_iter().flatten().min();
            if at == point || !at.starts_with(&point) || !at.pop() {
                break;
            }
        }
    }
    least
}

/// An absolute path below another root.
fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Where the groups of a version are mounted, and the group's place below that: a container may see its own group alone, under a path of outside.
fn mounted(mounts: &str, version: Version, path: &str) -> Option<(String, PathBuf)> {
    mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let (mut front, mut back) = (front.split(' ').skip(3), back.split(' '));
        let (from, point, kind, options) = (front.next()?, front.next()?, back.next()?, back.nth(1)?);
        let right = match version {
            Version::One => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
            Version::Two => kind == "cgroup2",
        };
        // what does not lie below the mount's own group is not to be seen: the mount itself stands for it
        let below = Path::new(path).strip_prefix(from).unwrap_or(Path::new(""));
        let seen = !below.components().any(|c| c == std::path::Component::ParentDir);
        right.then(|| (point.replace("\\040", " "), if seen { below.into() } else { PathBuf::new() }))
    })
}

/// What a group leaves, if it has a limit: what it holds of files that were read is given up under pressure, and counts as free.
fn left(group: &Path, version: Version, swap: u64) -> Option<u64> {
    // `max` is no number
    let number = |name: &str| read(&group.join(name))?.trim().parse::<u64>().ok();
    let stat = read(&group.join("memory.stat")).unwrap_or_default();
    let field = |name: &str| stat.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap_or(0);
    match version {
        Version::Two => {
            let free = number("memory.max")?.saturating_sub(number("memory.current")?).saturating_add(field("inactive_file "));
            let own = number("memory.swap.max").map(|m| m.saturating_sub(number("memory.swap.current").unwrap_or(0)));
            Some(free.saturating_add(own.map_or(swap, |own| own.min(swap))))
        }
        Version::One => {
            let idle = field("total_inactive_file ");
            let free = |limit: &str, used: &str| Some(number(limit)?.saturating_sub(number(used)?).saturating_add(idle));
            let memory = free("memory.limit_in_bytes", "memory.usage_in_bytes")?.saturating_add(swap);
            Some(free("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes").map_or(memory, |both| both.min(memory)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// A machine of 1,000 MiB free and 100 of swap, with these files beside.
    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let meminfo = "MemTotal:       4096000 kB\nMemAvailable:   1024000 kB\nSwapTotal:  204800 kB\nSwapFree:         102400 kB\n";
        for (path, text) in [("proc/meminfo", meminfo)].iter().chain(files) {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        available_under(root.path())
    }

    const V2: (&str, &str) = (
        "proc/self/mountinfo",
        "22 1 8:1 / / rw - ext4 /dev/sda rw\n30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
    );

    #[test]
    fn the_machine_alone() {
        assert_eq!(machine(&[]), Some(1100 * MIB));
        // the root of all groups has no limit, nor has `max`
        assert_eq!(machine(&[V2, ("proc/self/cgroup", "0::/\n")]), Some(1100 * MIB));
        let max = [("sys/fs/cgroup/a/memory.max", "max\n"), ("sys/fs/cgroup/a/memory.current", "5\n")];
        assert_eq!(machine(&[V2, ("proc/self/cgroup", "0::/a\n"), max[0], max[1]]), Some(1100 * MIB));
    }

    #[test]
    fn groups_of_version_2() {
        let own = [V2, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "524288000\n")];
        // 500 MiB, of which 200 are used, 50 of these by files that were read; no swap of its own
        let used = [
            ("sys/fs/cgroup/a/b/memory.current", "209715200\n"),
            ("sys/fs/cgroup/a/b/memory.stat", "anon 1\nfile 9\ninactive_anon 7\ninactive_file 52428800\n"),
            ("sys/fs/cgroup/a/b/memory.swap.max", "0\n"),
        ];
        let files = [&own[..], &used[..]].concat();
        assert_eq!(machine(&files), Some(350 * MIB));
        // one above it leaves less
        let above = [("sys/fs/cgroup/a/memory.max", "314572800"), ("sys/fs/cgroup/a/memory.current", "104857600")];
        let above =
            [&above[..], &[("sys/fs/cgroup/a/memory.swap.max", "41943040"), ("sys/fs/cgroup/a/memory.swap.current", "20971520")]].concat();
        assert_eq!(machine(&[&files[..], &above[..]].concat()), Some(220 * MIB));
        // in a container the group's own folder is the root of what is seen
        let inside = [V2, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1048576"), ("sys/fs/cgroup/memory.current", "0")];
        assert_eq!(machine(&[&inside[..], &[("sys/fs/cgroup/memory.swap.max", "0")]].concat()), Some(MIB));
        // more than allowed is nothing left
        let over = [V2, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "1"), ("sys/fs/cgroup/memory.current", "9")];
        assert_eq!(machine(&[&over[..], &[("sys/fs/cgroup/memory.swap.max", "0")]].concat()), Some(0));
    }

    #[test]
    fn groups_of_version_1() {
        let groups = ("proc/self/cgroup", "12:cpu,cpuacct:/docker/4f1\n5:memory:/docker/4f1\n1:name=systemd:/docker/4f1\n");
        let mount = |from: &str| format!("31 30 0:27 {from} /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n");
        let figures = |folder: &str| {
            [
                ("limit_in_bytes", 400u64 << 20),
                ("usage_in_bytes", 100 << 20),
                ("memsw.limit_in_bytes", 420 << 20),
                ("memsw.usage_in_bytes", 100 << 20),
            ]
            .map(|(name, v)| (format!("sys/fs/cgroup/memory/{folder}memory.{name}"), v.to_string()))
        };
        // as the host sees it, and as a container does that has no namespace of its own
        for (from, folder) in [("/", "docker/4f1/"), ("/docker/4f1", "")] {
            let (mount, figures) = (mount(from), figures(folder));
            let mut files = vec![groups, ("proc/self/mountinfo", mount.as_str())];
            files.extend(figures.iter().map(|(p, t)| (p.as_str(), t.as_str())));
            assert_eq!(machine(&files), Some(320 * MIB), "{from}");
            let stat = format!("sys/fs/cgroup/memory/{folder}memory.stat");
            files.push((&stat, "inactive_file 1\ntotal_inactive_file 10485760\n"));
            assert_eq!(machine(&files), Some(330 * MIB), "{from}");
        }
        // no limit: a number beyond all memory
        let figures = figures("").map(|(p, _)| (p, "9223372036854771712".to_string()));
        let mount = mount("/docker/4f1");
        let mut files = vec![groups, ("proc/self/mountinfo", mount.as_str()), (figures[0].0.as_str(), figures[0].1.as_str())];
        files.push(("sys/fs/cgroup/memory/memory.usage_in_bytes", "5"));
        assert_eq!(machine(&files), Some(1100 * MIB));
    }

    #[test]
    fn the_process_own_limits() {
        let limits = |address: &str| {
            format!(
                "Limit                     Soft Limit           Hard Limit           Units\n\
                 Max data size             unlimited            unlimited            bytes\n\
                 Max address space         {address:<20} unlimited            bytes\n"
            )
        };
        let status = ("proc/self/status", "Name:\tx\nVmPeak:\t  900 kB\nVmSize:\t    1024 kB\nVmData:\t  512 kB\n");
        assert_eq!(machine(&[status, ("proc/self/limits", &limits("unlimited"))]), Some(1100 * MIB));
        assert_eq!(machine(&[status, ("proc/self/limits", &limits("10485760"))]), Some(9 * MIB));
    }

    /// What this machine says: something, and no more than it has.
    #[cfg(target_os = "linux")]
    #[test]
    fn here() {
        let info = std::fs::read_to_string("/proc/meminfo").unwrap();
        let most = kib(&info, "MemTotal").unwrap() + kib(&info, "SwapTotal").unwrap();
        assert!((1..=most).contains(&available().unwrap()));
    }
}

//! What `--device list` shows.

#[cfg(feature = "gpu")]
use super::choose::{INSTALL, foreign_words};
use super::machine::Device;
use crate::error::Error;
#[cfg(feature = "gpu")]
use crate::gpu::{self, AdapterSummary, Gpu};

impl Device {
    /// Every adapter, for people: back end, type, driver, f16, subgroups, cooperative matrices, memory; whether `auto` takes it, and why or
    /// why not; what to install where there is no GPU. Opens GPUs until one opens, as `auto` does, and those with cooperative matrices, whose
    /// self-test tells whether they can be used.
    ///
    /// ```
    /// let text = gradus::train::Device::list();
    /// assert!(text.lines().any(|l| l.starts_with("cpu")) && text.contains("`auto`"));
    /// ```
    pub fn list() -> String {
        #[cfg(feature = "gpu")]
        {
            let mut all = gpu::adapters();
            all.extend(gpu::adapters_hidden(&all));
            let found: Vec<Found> = all.iter().map(Found::of).collect();
            let opens = |i: usize| if all[i].conformant { Gpu::open(&all[i]) } else { Self::opened_hidden(&all[i], false) }.map(drop);
            let foreign = foreign_words(|name| std::env::var(name).ok()).map_or(String::new(), |f| format!("{f}\n"));
            text(&found, &opens, &Self::cpu().to_string()) + &foreign
        }
        #[cfg(not(feature = "gpu"))]
        {
            let build = "no adapter was looked for: gradus was built without the feature `gpu`; build with it to use a GPU\n";
            format!("{build}cpu    {}\n       taken by `auto`: there is nothing else\n", Self::cpu())
        }
    }

    pub(super) fn list_is_no_device() -> Error {
        Error::NoDevice {
            wanted: "list".into(),
            problem: "`list` shows what there is, and is no device".into(),
            tried: vec![format!("\n{}", Self::list().trim_end())],
            help: "choose one of them by `--device` or GRADUS_DEVICE: `auto`, `gpu`, `gpu:INDEX`, `gpu:NAME`, `software`, `cpu`".into(),
        }
    }
}

/// What the list shows of an adapter.
#[cfg(feature = "gpu")]
struct Found {
    name: String,
    gpu: bool,
    /// Whether its driver passes Vulkan's conformance tests.
    conformant: bool,
    details: Vec<String>,
}

#[cfg(feature = "gpu")]
impl Found {
    fn of(a: &AdapterSummary) -> Self {
        let mut details = a.details();
        // what an adapter claims is worth as much as the self-test says of it
        if let (true, Some(line)) = (a.cooperative, details.iter_mut().find(|l| l.contains("cooperative matrices"))) {
            let verdict = Gpu::open(a).map_or_else(|e| format!("not tested: {}", e.code()), |gpu| gpu.coop().to_string());
            *line += &format!("; cooperative matrices: {verdict}");
        }
        Found { name: a.name.clone(), gpu: a.is_gpu(), conformant: a.conformant, details }
    }
}

/// The list. `opens` tries an adapter by its place.
#[cfg(feature = "gpu")]
fn text(all: &[Found], opens: &dyn Fn(usize) -> crate::Result<()>, cpu: &str) -> String {
    let (mut taken, mut software) = (None, None);
    let mut out = String::new();
    for (i, a) in all.iter().enumerate() {
        let verdict = match (a.gpu, taken, software) {
            (true, Some(first), _) => format!("passed over by `auto`: gpu:{first} comes first; take it with `gpu:{i}`"),
            (true, None, _) => match opens(i) {
                Ok(()) => {
                    taken = Some(i);
                    let tested = if a.conformant { "" } else { ", and it passed the self-test" };
                    format!("taken by `auto` and by `gpu`: the first GPU that opens{tested}")
                }
                Err(e) if a.conformant => format!("passed over by `auto`: it does not open: {}", e.to_string().replace('\n', ";")),
                Err(e) => format!("passed over by `auto`: {}", e.to_string().replace('\n', ";")),
            },
            (false, _, Some(first)) => {
                format!("passed over by `auto`: a GPU in software; `software` takes gpu:{first} before it; take it with `gpu:{i}`")
            }
            (false, _, None) => {
                software = Some(i);
                "passed over by `auto`: a GPU in software, slower than the CPU itself; take it with `software`".into()
            }
        };
        out += &format!("gpu:{i}  {}\n", a.name);
        a.details.iter().chain([&verdict]).for_each(|l| out += &format!("       {l}\n"));
    }
    let cpu_verdict = match taken {
        Some(first) => format!("passed over by `auto`: gpu:{first} is a GPU; take it with `cpu`"),
        None => "taken by `auto`: there is no GPU".into(),
    };
    out += &format!("cpu    {cpu}\n       {cpu_verdict}\n");
    if all.is_empty() {
        out += &format!("no adapter: looked for Vulkan, Metal and DX12\n       {INSTALL}\n");
    } else if taken.is_none() {
        out += "no GPU: if this machine has one, its driver is missing or hidden (a container, WSL)\n       ";
        out += "NVIDIA: its own driver, and in containers NVIDIA_DRIVER_CAPABILITIES=graphics; AMD and Intel: mesa-vulkan-drivers\n";
    }
    out
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::{Found, text};
    use crate::error::Error;

    fn found(name: &str, gpu: bool) -> Found {
        Found { name: name.into(), gpu, conformant: true, details: vec!["vulkan".into()] }
    }

    /// One whose driver is not conformant comes last, and is taken once it has passed the self-test.
    #[test]
    fn a_hidden_driver_is_listed_and_tested() {
        let dzn = || Found { conformant: false, ..found("Microsoft Direct3D12 (RTX)", true) };
        let all = [found("llvmpipe", false), dzn()];
        let list = text(&all, &|_| Ok(()), "CPU, 2 threads");
        assert!(verdict(&list, "gpu:1").contains("taken by `auto`") && verdict(&list, "gpu:1").contains("passed the self-test"), "{list}");
        let wrong =
            |_| Err(Error::NoDevice { wanted: "x".into(), problem: "failed the self-test".into(), tried: vec![], help: "h".into() });
        let list = text(&all, &wrong, "CPU, 2 threads");
        assert!(verdict(&list, "gpu:1").contains("passed over by `auto`") && list.contains("failed the self-test"), "{list}");
        assert!(verdict(&list, "cpu").starts_with("taken by `auto`"), "{list}");
        // a conformant one is never passed over for it
        let list = text(&[found("Radeon", true), dzn()], &|_| Ok(()), "CPU, 2 threads");
        assert!(verdict(&list, "gpu:1").contains("gpu:0 comes first"), "{list}");
    }

    #[test]
    fn drivers_have_names() {
        use super::super::choose::is_driver;
        assert!(is_driver("Dozen Mesa 24.0.5", "dzn") && is_driver("Dozen Mesa 24.0.5", "dozen") && !is_driver("radv", "dzn"));
    }

    #[test]
    fn wgpus_own_variables_are_answered() {
        let with = |name: &'static str| super::foreign_words(move |n| (n == name).then(|| "radeon".to_string()));
        assert!(with("WGPU_ADAPTER_NAME").is_some_and(|t| t.contains("GRADUS_DEVICE=gpu:radeon")));
        assert!(with("WGPU_BACKEND").is_some_and(|t| t.contains("WGPU_BACKEND is set") && t.contains("GRADUS_DEVICE=gpu:TEXT")));
        assert_eq!(with("HOME"), None);
    }

    fn verdict<'a>(list: &'a str, entry: &str) -> &'a str {
        let mut lines = list.lines().skip_while(|l| !l.starts_with(entry)).skip(1);
        lines.find(|l| l.contains("`auto`")).unwrap().trim()
    }

    #[test]
    fn each_adapter_says_why_it_is_taken_or_passed_over() {
        let all = [found("Broken", true), found("Radeon", true), found("GeForce", true), found("llvmpipe", false), found("WARP", false)];
        let opens = |i: usize| {
            if i > 0 {
                return Ok(());
            }
            Err(Error::DeviceLost { device: "Broken".into(), reason: "no".into() })
        };
        let list = text(&all, &opens, "CPU, 2 threads");
        assert!(verdict(&list, "gpu:0").contains("does not open: the device was lost: no"), "{list}");
        assert!(verdict(&list, "gpu:1").starts_with("taken by `auto`"), "{list}");
        assert!(verdict(&list, "gpu:2").contains("gpu:1 comes first"), "{list}");
        assert!(verdict(&list, "gpu:3").ends_with("take it with `software`"), "{list}");
        assert!(verdict(&list, "gpu:4").ends_with("take it with `gpu:4`"), "{list}");
        assert!(verdict(&list, "cpu").contains("gpu:1 is a GPU") && !list.contains("no GPU:"), "{list}");
    }

    #[test]
    fn without_a_gpu_it_says_what_to_install() {
        let none = text(&[], &|_| Ok(()), "CPU, 1 thread");
        assert!(none.contains("mesa-vulkan-drivers") && verdict(&none, "cpu").starts_with("taken by `auto`"), "{none}");
        let software = text(&[found("llvmpipe", false)], &|_| Ok(()), "CPU, 1 thread");
        assert!(
            software.contains("no GPU:") && software.contains("NVIDIA") && verdict(&software, "cpu").starts_with("taken"),
            "{software}"
        );
    }
}

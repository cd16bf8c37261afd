//! WGSL to machine code by the driver that this process sees, the way wgpu 30 does it for gradus: the same SPIR-V, features and flags, without
//! checks of naga's (`create_shader_module_trusted`), with the driver's own checks of buffers where gradus opens devices with them.

use crate::fault;
use ash::vk;
use naga::AddressSpace;
use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::path::Path;

/// Compiles a kernel. Leaves what the driver tells of it in `.facts` (lines of `key<TAB>value`) and its machine code in `.listing`, where the driver
/// hands that over.
pub fn compile(wgsl: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(wgsl).map_err(fault(wgsl))?;
    let module = naga::front::wgsl::parse_str(&text).map_err(|e| e.emit_to_string(&text))?;
    let mut validator = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), naga::valid::Capabilities::all());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(&text))?;
    let driver = Driver::open()?;
    let pipeline = driver.pipeline(&module, &spirv(&module, &info)?)?;
    let (facts, listing) = driver.told(pipeline)?;
    let path = wgsl.with_extension("listing");
    match listing {
        Some(listing) => std::fs::write(&path, listing).map_err(fault(&path))?,
        None => _ = std::fs::remove_file(&path), // of an earlier time
    }
    let path = wgsl.with_extension("facts");
    std::fs::write(&path, facts).map_err(fault(&path))
}

fn spirv(module: &naga::Module, info: &naga::valid::ModuleInfo) -> Result<Vec<u32>, String> {
    use naga::back::spv;
    let options = spv::Options {
        lang_version: (1, 6),
        flags: spv::WriterFlags::empty(),
        bounds_check_policies: naga::proc::BoundsCheckPolicies {
            index: naga::proc::BoundsCheckPolicy::Unchecked,
            buffer: naga::proc::BoundsCheckPolicy::Unchecked,
            image_load: naga::proc::BoundsCheckPolicy::Unchecked,
            binding_array: naga::proc::BoundsCheckPolicy::Unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        emit_int_div_checks: false,
        ..Default::default()
    };
    spv::write_vec(module, info, &options, None).map_err(|e| format!("SPIR-V: {e}"))
}

/// An open device, until the process ends.
struct Driver {
    _entry: ash::Entry,
    id: vk::DriverId,
    device: ash::Device,
    executables: ash::khr::pipeline_executable_properties::Device,
}

fn done<T>(what: &str, answer: Result<T, vk::Result>) -> Result<T, String> {
    answer.map_err(|e| format!("{what}: {e}"))
}

fn text(raw: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = raw.iter().take_while(|c| **c != 0).map(|c| *c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Driver {
    /// The first GPU, with all features that it has of those that wgpu asks for.
    fn open() -> Result<Driver, String> {
        // SAFETY: the loader is the root's; every structure lives until the call that reads it returns; handles are used while their parents live.
        unsafe {
            let entry = ash::Entry::load().map_err(|e| format!("no Vulkan loader: {e}"))?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance = entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None);
            let instance = done("vkCreateInstance", instance)?;
            let gpu = done("vkEnumeratePhysicalDevices", instance.enumerate_physical_devices())?;
            let gpu = *gpu.first().ok_or("the driver finds no GPU")?;
            let mut driver = vk::PhysicalDeviceDriverProperties::default();
            instance.get_physical_device_properties2(gpu, &mut vk::PhysicalDeviceProperties2::default().push_next(&mut driver));
            let id = driver.driver_id;

            let has = done("extensions", instance.enumerate_device_extension_properties(gpu))?;
            let has = |name: &CStr| has.iter().any(|e| e.extension_name_as_c_str() == Ok(name));
            let mut names = vec![ash::khr::pipeline_executable_properties::NAME];
            names.extend([ash::khr::cooperative_matrix::NAME, ash::ext::robustness2::NAME].into_iter().filter(|n| has(n)));
            let names: Vec<_> = names.into_iter().map(CStr::as_ptr).collect();

            let mut core11 = vk::PhysicalDeviceVulkan11Features::default();
            let mut core12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut core13 = vk::PhysicalDeviceVulkan13Features::default();
            let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut core11).push_next(&mut core12).push_next(&mut core13);
            instance.get_physical_device_features2(gpu, &mut features);
            let checks = std::env::var("GRADUS_ROBUST").as_deref() != Ok("0");
            features.features.robust_buffer_access = checks.into();
            let mut matrix = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
            let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default().robust_buffer_access2(checks).robust_image_access2(true);
            if has(ash::khr::cooperative_matrix::NAME) {
                features = features.push_next(&mut matrix);
            }
            if has(ash::ext::robustness2::NAME) {
                features = features.push_next(&mut robust);
            }

            let mut executable = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
            let device = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
            let device = device.push_next(&mut features).push_next(&mut executable);
            let device = done("vkCreateDevice", instance.create_device(gpu, &device, None))?;
            let executables = ash::khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Driver { _entry: entry, id, device, executables })
        }
    }

    /// Of a module with one entry point.
    fn pipeline(&self, module: &naga::Module, spirv: &[u32]) -> Result<vk::Pipeline, String> {
        let mut sets: Vec<Vec<vk::DescriptorSetLayoutBinding>> = Vec::new();
        for (_, v) in module.global_variables.iter() {
            let Some(b) = &v.binding else { continue };
            let kind =
                if v.space == AddressSpace::Uniform { vk::DescriptorType::UNIFORM_BUFFER } else { vk::DescriptorType::STORAGE_BUFFER };
            let binding = vk::DescriptorSetLayoutBinding::default().binding(b.binding).descriptor_type(kind).descriptor_count(1);
            sets.resize(sets.len().max(b.group as usize + 1), Vec::new());
            sets[b.group as usize].push(binding.stage_flags(vk::ShaderStageFlags::COMPUTE));
        }
        let entry = module.entry_points.first().ok_or("the kernel has no entry point")?;
        let name = CString::new(entry.name.as_str()).map_err(|e| e.to_string())?;
        // SAFETY: every structure lives until the call that reads it returns.
        unsafe {
            let layout =
                |set: &Vec<_>| self.device.create_descriptor_set_layout(&vk::DescriptorSetLayoutCreateInfo::default().bindings(set), None);
            let layouts = done("vkCreateDescriptorSetLayout", sets.iter().map(layout).collect::<Result<Vec<_>, _>>())?;
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&layouts);
            let layout = done("vkCreatePipelineLayout", self.device.create_pipeline_layout(&layout, None))?;
            let shader = self.device.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(spirv), None);
            let shader = done("vkCreateShaderModule", shader)?;
            let stage = vk::PipelineShaderStageCreateInfo::default().stage(vk::ShaderStageFlags::COMPUTE).module(shader).name(&name);
            let stage = stage.flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE);
            let tell = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(tell);
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            done("vkCreateComputePipelines", made.map_err(|(_, e)| e))?.first().copied().ok_or("no pipeline was made".into())
        }
    }

    /// What the driver tells of a pipeline: facts, and the machine code. Of several variants (Intel's) the last one, which is the widest.
    fn told(&self, pipeline: vk::Pipeline) -> Result<(String, Option<Vec<u8>>), String> {
        let mut facts = format!("driver\t{:?}\n", self.id);
        // SAFETY: the pipeline is this device's and captures both.
        let all = unsafe { self.executables.get_pipeline_executable_properties(&vk::PipelineInfoKHR::default().pipeline(pipeline)) };
        let all = done("vkGetPipelineExecutableProperties", all)?;
        let last = all.len().checked_sub(1).ok_or("the driver tells nothing of the pipeline")?;
        let which = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(last as u32);
        // SAFETY: as above.
        let statistics = unsafe { self.executables.get_pipeline_executable_statistics(&which) };
        for s in done("vkGetPipelineExecutableStatistics", statistics)? {
            // SAFETY: the format tells which of the union's fields was written.
            let value = unsafe {
                match s.format {
                    vk::PipelineExecutableStatisticFormatKHR::BOOL32 => s.value.b32.to_string(),
                    vk::PipelineExecutableStatisticFormatKHR::INT64 => s.value.i64.to_string(),
                    vk::PipelineExecutableStatisticFormatKHR::UINT64 => s.value.u64.to_string(),
                    _ => s.value.f64.to_string(),
                }
            };
            _ = writeln!(facts, "{}\t{value}", text(&s.name));
        }
        let listing = self.listings(&which)?.into_iter().rev().find(|(name, _)| name.to_lowercase().contains("assembly"));
        Ok((facts, listing.map(|(_, text)| text)))
    }

    /// By name. ash asks for the sizes alone: the texts take a second call.
    fn listings(&self, which: &vk::PipelineExecutableInfoKHR) -> Result<Vec<(String, Vec<u8>)>, String> {
        let ask = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        // SAFETY: as above.
        let all = unsafe { self.executables.get_pipeline_executable_internal_representations(which) };
        let mut all = done("listings", all)?;
        let mut texts: Vec<Vec<u8>> = all.iter().map(|r| vec![0; r.data_size]).collect();
        for (r, text) in all.iter_mut().zip(&mut texts) {
            r.p_data = text.as_mut_ptr().cast();
        }
        let mut count = all.len() as u32;
        // SAFETY: every pointer is to as many bytes as the driver asked for.
        done("listings", unsafe { ask(self.device.handle(), which, &mut count, all.as_mut_ptr()) }.result())?;
        let trimmed = |mut bytes: Vec<u8>| {
            bytes.retain(|b| *b != 0);
            bytes
        };
        Ok(all.iter().map(|r| text(&r.name)).zip(texts.into_iter().map(trimmed)).collect())
    }
}

//! A Vulkan device whose driver checks no buffer's bounds.
//!
//! wgpu-hal opens every Vulkan device with `robustBufferAccess`, and `robustBufferAccess2` where there is one, whatever the shaders say. On AMD's and
//! Intel's GPUs the hardware checks for nothing; where shaders do, a load of four becomes four loads with a comparison each. The kernels of gradus
//! keep within their buffers without (see `gpu/pipeline.rs`); a user's own kernel need not, and is refused on such a device.

use ash::vk;
use std::ffi::c_char;
use wgpu::hal::api::Vulkan;

/// Opens the adapter as wgpu does, but for those two features. The error is why it cannot be.
pub(super) fn open(adapter: &wgpu::Adapter, how: &wgpu::DeviceDescriptor<'_>) -> Result<(wgpu::Device, wgpu::Queue), String> {
    let opened = {
        // SAFETY: nothing that the guard gives outlives it but the new device, and no handle is destroyed.
        let hal = unsafe { adapter.as_hal::<Vulkan>() }.ok_or("it is no adapter of Vulkan")?;
        let extensions = hal.required_device_extensions(how.required_features);
        let mut features = hal.physical_device_features(&extensions, how.required_features);
        let core = vk::PhysicalDeviceFeatures { robust_buffer_access: vk::FALSE, ..features.get_core() };
        let names: Vec<*const c_char> = extensions.iter().map(|name| name.as_ptr()).collect();
        // the family and the one queue that wgpu takes
        let family = 0;
        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
        let info = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&names);
        let info = features.add_to_device_create(info).enabled_features(&core);
        // SAFETY: `add_to_device_create` has just linked members of `features` and nothing else, which `info` borrows for itself alone.
        unsafe { without_robust_buffers(&info) };
        // SAFETY: `info` holds what wgpu itself asks of this adapter, with fewer features, and what it points at lives until the call ends.
        let raw = unsafe { hal.shared_instance().raw_instance().create_device(hal.raw_physical_device(), &info, None) };
        let raw = raw.map_err(|e| e.to_string())?;
        // SAFETY: the device is of this adapter, this family and these extensions; wgpu takes it over. Of the features that it counts on two are
        // off, and the only shaders that rely on them are a user's, which `pipeline_from` refuses.
        unsafe { hal.device_from_raw(raw, None, &extensions, how.required_features, &how.required_limits, &how.memory_hints, family, 0) }
            .map_err(|e| e.to_string())?
    };
    // SAFETY: it was opened from this adapter with these features.
    unsafe { adapter.create_device_from_hal::<Vulkan>(opened, how) }.map_err(|e| e.to_string())
}

/// Clears `robustBufferAccess2` in the chain of features.
///
/// # Safety
/// The chain behind `info` must consist of Vulkan's structures, which nobody else looks at meanwhile.
unsafe fn without_robust_buffers(info: &vk::DeviceCreateInfo<'_>) {
    let mut next = info.p_next.cast::<vk::BaseOutStructure<'_>>().cast_mut();
    // SAFETY: each pointer is null or leads to a structure of the chain, and every one of those begins as the base does.
    while let Some(link) = unsafe { next.as_mut() } {
        if link.s_type == vk::StructureType::PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT {
            // SAFETY: its type says what it is.
            let found = unsafe { &mut *next.cast::<vk::PhysicalDeviceRobustness2FeaturesEXT<'_>>() };
            found.robust_buffer_access2 = vk::FALSE;
            next = found.p_next.cast();
        } else {
            next = link.p_next;
        }
    }
}

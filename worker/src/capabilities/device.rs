//! The devices that hardware encoders run on, how ffmpeg is pointed at one, and which encoders each could offer.

use std::{fs, path::Path};

use ffrtmp_api::{encoder::Encoder, protocol::Gpu};
use serde::{Deserialize, Serialize};

/// Render nodes are numbered from 128 (Linux drm_drv.c: minor = 64 * type + index, render is type 2).
const RENDER_FIRST: u32 = 128;
/// Encodes a render node is given at once: Intel and AMD set no limit; this is where more only get slower.
const RENDER_SESSIONS: u32 = 32;
/// PCI numbers of the makers whose render nodes ffmpeg encodes on.
const INTEL: u32 = 0x8086;
const AMD: u32 = 0x1002;

/// A device, as ffmpeg is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Device {
    /// By its UUID, which does not change when another GPU vanishes.
    Nvidia(String),
    /// `/dev/dri/renderD128` and up.
    Render {
        /// 128 and up.
        number: u32,
        /// PCI vendor.
        vendor: u32,
    },
}

impl Device {
    /// Whether a driver for this encoder on this device exists at all.
    pub(crate) fn could_offer(&self, encoder: Encoder) -> bool {
        use Encoder::*;
        match (self, encoder) {
            (_, Libx264 | Libx265 | LibvpxVp9 | Libsvtav1) => false,
            (Device::Nvidia(_), encoder) => matches!(encoder, H264Nvenc | HevcNvenc | Av1Nvenc),
            (Device::Render { .. }, H264Vaapi | HevcVaapi | Av1Vaapi) => true,
            (Device::Render { vendor, .. }, H264Qsv | HevcQsv | Av1Qsv) => *vendor == INTEL,
            (Device::Render { .. }, _) => false,
        }
    }

    /// The number that stands for it in ffmpeg's arguments. An NVIDIA GPU is the only one its process sees.
    pub(crate) fn number(&self) -> u32 {
        match self {
            Device::Nvidia(_) => 0,
            Device::Render { number, .. } => number.saturating_sub(RENDER_FIRST),
        }
    }

    /// The environment of an ffmpeg that uses it. CUDA numbers GPUs by its own idea of speed, NVML by their slot; a UUID means
    /// one GPU to both.
    pub(crate) fn environment(&self) -> Option<(&'static str, &str)> {
        match self {
            Device::Nvidia(uuid) => Some(("CUDA_VISIBLE_DEVICES", uuid)),
            Device::Render { .. } => None,
        }
    }
}

/// The render nodes of Intel and AMD below `root` (`/`), with what the master is told of each.
pub(crate) fn render_nodes(root: &Path) -> Vec<(Device, Gpu)> {
    let names = fs::read_dir(root.join("dev/dri")).into_iter().flatten();
    let mut numbers: Vec<u32> = names
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            name.to_str()?.strip_prefix("renderD")?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    let node = |number| {
        let device = root.join(format!("sys/class/drm/renderD{number}/device"));
        let vendor = fs::read_to_string(device.join("vendor")).ok()?;
        let vendor = u32::from_str_radix(vendor.trim().trim_start_matches("0x"), 16).ok()?;
        let maker = match vendor {
            INTEL => "Intel",
            AMD => "AMD",
            _ => return None,
        };
        // Only AMD's driver tells; Intel's graphics mostly share the machine's memory.
        let memory = fs::read_to_string(device.join("mem_info_vram_total")).ok();
        let bytes: u64 = memory.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
        let gpu = Gpu {
            model: format!("{maker} graphics"),
            memory_mib: u32::try_from(bytes / (1024 * 1024)).unwrap_or(u32::MAX),
            sessions_max: RENDER_SESSIONS,
            uuid: format!("/dev/dri/renderD{number}"),
            unusable: None,
        };
        Some((Device::Render { number, vendor }, gpu))
    };
    numbers.into_iter().filter_map(node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn render_nodes_are_those_of_makers_whose_drivers_encode() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("dev/dri")).unwrap();
        for (number, vendor) in [
            (129, "0x1002"),
            (128, "0x8086"),
            (130, "0x10de"),
            (131, "?"),
        ] {
            fs::write(root.join(format!("dev/dri/renderD{number}")), "").unwrap();
            let device = root.join(format!("sys/class/drm/renderD{number}/device"));
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("vendor"), format!("{vendor}\n")).unwrap();
            fs::write(device.join("mem_info_vram_total"), "8573157376\n").unwrap();
        }
        fs::write(root.join("dev/dri/card0"), "").unwrap();
        let found = render_nodes(root);
        let told: Vec<(u32, &str, &str)> = found
            .iter()
            .map(|(device, gpu)| (device.number(), gpu.model.as_str(), gpu.uuid.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (0, "Intel graphics", "/dev/dri/renderD128"),
                (1, "AMD graphics", "/dev/dri/renderD129")
            ]
        );
        assert_eq!(found[1].1.memory_mib, 8_176);
        let (intel, amd) = (&found[0].0, &found[1].0);
        assert!(intel.could_offer(Encoder::H264Qsv) && intel.could_offer(Encoder::HevcVaapi));
        assert!(!amd.could_offer(Encoder::H264Qsv) && amd.could_offer(Encoder::HevcVaapi));
        assert!(!amd.could_offer(Encoder::H264Nvenc) && !amd.could_offer(Encoder::Libx264));
    }
}

//! Stands in for `libnvidia-ml.so.1`: the C functions that a worker calls, answered from a JSON file.
//!
//! A test copies the library into a folder of its own and writes `gpus.json` beside it; each call reads that file anew, so a
//! GPU can heat up, vanish or come back while a worker runs. Functions that are not here are not in the library either, as
//! with an old driver.
//!
//! ```json
//! {"driver": "550.54", "init": 0, "gpus": [{"uuid": "GPU-1", "name": "NVIDIA L4", "memory": [total, used], "utilisation": 40,
//!   "encoder": 30, "decoder": 5, "sessions": 2, "temperature": 61, "milliwatts": 33500, "fails": {"milliwatts": 999}}]}
//! ```
//! `fails` maps the name of a field to NVML's error code for it; `"handle"` fails the GPU as a whole. A field that is absent is
//! answered with `NVML_ERROR_NOT_SUPPORTED`. It must never be linked into the product.

// The functions are NVML's, named and typed as there; what each does is NVML's documentation.
#![allow(non_snake_case, missing_docs, clippy::missing_safety_doc)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_ulonglong, c_void},
    path::PathBuf,
};

use serde_json::Value;

const SUCCESS: c_int = 0;
const INVALID_ARGUMENT: c_int = 2;
const NOT_SUPPORTED: c_int = 3;
const NOT_FOUND: c_int = 6;
const INSUFFICIENT_SIZE: c_int = 7;
const DRIVER_NOT_LOADED: c_int = 9;

/// `gpus.json` beside this library's own file.
fn state() -> Result<Value, c_int> {
    // SAFETY: dladdr only reads the address and fills in the struct, which is plain data.
    let path = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        if libc::dladdr(nvmlInit_v2 as *const c_void, &mut info) == 0 || info.dli_fname.is_null() {
            return Err(DRIVER_NOT_LOADED);
        }
        PathBuf::from(
            CStr::from_ptr(info.dli_fname)
                .to_string_lossy()
                .into_owned(),
        )
    };
    let text = std::fs::read(path.with_file_name("gpus.json")).map_err(|_| DRIVER_NOT_LOADED)?;
    serde_json::from_slice(&text).map_err(|_| DRIVER_NOT_LOADED)
}

fn code(answer: Result<(), c_int>) -> c_int {
    answer.map_or_else(|code| code, |()| SUCCESS)
}

/// A handle is the GPU's UUID, leaked: it stays valid, and means the same GPU, whatever becomes of the file.
fn gpu(device: *mut c_void, field: &str) -> Result<Value, c_int> {
    if device.is_null() {
        return Err(INVALID_ARGUMENT);
    }
    // SAFETY: only handles given out below come back: leaked C strings.
    let uuid = unsafe { CStr::from_ptr(device.cast::<c_char>()) };
    let state = state()?;
    let gpu = all(&state)
        .into_iter()
        .find(|gpu| gpu["uuid"].as_str().map(str::as_bytes) == Some(uuid.to_bytes()))
        .ok_or(15)?; // NVML_ERROR_GPU_IS_LOST
    if let Some(code) = gpu["fails"][field].as_i64() {
        return Err(code as c_int);
    }
    Ok(gpu)
}

fn all(state: &Value) -> Vec<Value> {
    state["gpus"].as_array().cloned().unwrap_or_default()
}

fn handle(gpu: &Value, device: *mut *mut c_void) -> Result<(), c_int> {
    if let Some(code) = gpu["fails"]["handle"].as_i64() {
        return Err(code as c_int);
    }
    let uuid = CString::new(gpu["uuid"].as_str().unwrap_or_default()).map_err(|_| NOT_FOUND)?;
    // SAFETY: the caller gives room for a handle, as NVML demands.
    unsafe { *device = uuid.into_raw().cast() };
    Ok(())
}

fn number(device: *mut c_void, field: &str) -> Result<u64, c_int> {
    gpu(device, field)?[field].as_u64().ok_or(NOT_SUPPORTED)
}

fn set(out: *mut c_uint, value: u64) {
    // SAFETY: the caller gives room for the number, as NVML demands.
    unsafe { *out = value as c_uint };
}

fn text(value: &Value, out: *mut c_char, length: c_uint) -> Result<(), c_int> {
    let value = CString::new(value.as_str().ok_or(NOT_SUPPORTED)?).map_err(|_| NOT_FOUND)?;
    let bytes = value.as_bytes_with_nul();
    if bytes.len() > length as usize {
        return Err(INSUFFICIENT_SIZE);
    }
    // SAFETY: `out` has `length` bytes, as NVML demands, and `bytes` fits.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len()) };
    Ok(())
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    match state() {
        Ok(state) => state["init"].as_i64().unwrap_or(0) as c_int,
        Err(code) => code,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(out: *mut c_char, length: c_uint) -> c_int {
    code(state().and_then(|state| text(&state["driver"], out, length)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int {
    code(state().and_then(|state| {
        match state["init"].as_i64().unwrap_or(0) as c_int {
            SUCCESS => set(count, all(&state).len() as u64),
            failed => return Err(failed),
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    index: c_uint,
    device: *mut *mut c_void,
) -> c_int {
    code(state().and_then(|state| {
        let gpu = all(&state).get(index as usize).cloned();
        handle(&gpu.ok_or(INVALID_ARGUMENT)?, device)
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByUUID(
    uuid: *const c_char,
    device: *mut *mut c_void,
) -> c_int {
    // SAFETY: a C string, as NVML demands.
    let uuid = unsafe { CStr::from_ptr(uuid) }
        .to_string_lossy()
        .into_owned();
    code(state().and_then(|state| {
        let mut gpus = all(&state).into_iter();
        let gpu = gpus.find(|gpu| gpu["uuid"].as_str() == Some(&uuid));
        handle(&gpu.ok_or(NOT_FOUND)?, device)
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(
    device: *mut c_void,
    out: *mut c_char,
    length: c_uint,
) -> c_int {
    code(gpu(device, "uuid").and_then(|gpu| text(&gpu["uuid"], out, length)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetName(
    device: *mut c_void,
    out: *mut c_char,
    length: c_uint,
) -> c_int {
    code(gpu(device, "name").and_then(|gpu| text(&gpu["name"], out, length)))
}

/// `nvmlMemory_v2_t`.
#[repr(C)]
pub struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: *mut c_void,
    out: *mut Memory,
) -> c_int {
    code(gpu(device, "memory").and_then(|gpu| {
        let part = |i: usize| gpu["memory"][i].as_u64().ok_or(NOT_SUPPORTED);
        let (total, used) = (part(0)?, part(1)?);
        // SAFETY: the caller gives room for the struct of this version, as NVML demands.
        unsafe {
            (*out).total = total;
            (*out).used = used;
            (*out).free = total.saturating_sub(used);
            (*out).reserved = 0;
        }
        Ok(())
    }))
}

/// `nvmlUtilization_t`.
#[repr(C)]
pub struct Utilisation {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUtilizationRates(
    device: *mut c_void,
    out: *mut Utilisation,
) -> c_int {
    code(number(device, "utilisation").map(|percent| {
        // SAFETY: the caller gives room for the struct, as NVML demands.
        unsafe {
            (*out).gpu = percent as c_uint;
            (*out).memory = 0;
        }
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEncoderUtilization(
    device: *mut c_void,
    percent: *mut c_uint,
    period_us: *mut c_uint,
) -> c_int {
    code(number(device, "encoder").map(|value| {
        set(percent, value);
        set(period_us, 167_000);
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetDecoderUtilization(
    device: *mut c_void,
    percent: *mut c_uint,
    period_us: *mut c_uint,
) -> c_int {
    code(number(device, "decoder").map(|value| {
        set(percent, value);
        set(period_us, 167_000);
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEncoderStats(
    device: *mut c_void,
    sessions: *mut c_uint,
    fps: *mut c_uint,
    latency_us: *mut c_uint,
) -> c_int {
    code(number(device, "sessions").map(|value| {
        set(sessions, value);
        set(fps, 0);
        set(latency_us, 0);
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetTemperature(
    device: *mut c_void,
    _sensor: c_uint,
    out: *mut c_uint,
) -> c_int {
    code(number(device, "temperature").map(|value| set(out, value)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPowerUsage(device: *mut c_void, out: *mut c_uint) -> c_int {
    code(number(device, "milliwatts").map(|value| set(out, value)))
}

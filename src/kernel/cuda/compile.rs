//! The kernels compiled by NVRTC, NVIDIA's compiler as a library, which is loaded at run time.

use super::CudaError;
use super::program::{PROGRAM, PROGRAM_OPTIONS};
use cudarc::nvrtc::{result, sys};
use std::ffi::{CStr, CString};

/// The program of one variant for `target`: machine code for `sm_90` and the like, PTX as text for `compute_90`, which a driver
/// compiles for any later device.
///
/// # Errors
/// NVRTC is missing, older than 12.0, or does not take the target.
pub fn compile(target: &str, vectors: u32) -> Result<Vec<u8>, CudaError> {
    find_compiler()?;
    let failed = |reason: String| CudaError::Compile { target: target.to_owned(), reason };
    let text = CString::new(PROGRAM).map_err(|error| failed(error.to_string()))?;
    let handle =
        result::create_program(&text, Some(c"flexihash.cu")).map_err(|error| failed(format!("{error:?}")))?;
    let program = Program { handle, _text: text };
    let options = PROGRAM_OPTIONS.map(str::to_owned).into_iter();
    let options: Vec<String> =
        options.chain([format!("--gpu-architecture={target}"), format!("-DVECTORS={vectors}")]).collect();
    // SAFETY: the program is alive, here and below.
    unsafe { result::compile_program(program.handle, &options) }
        .map_err(|error| failed(format!("{error:?}: {}", program.log())))?;
    let code = if target.starts_with("sm_") { program.cubin() } else { program.ptx() };
    code.map_err(|error| failed(format!("{error:?}")))
}

/// The best target for a device of this compute capability: its own machine code, or else the nearest PTX below.
///
/// # Errors
/// NVRTC is missing or knows no such device.
pub(super) fn target(major: i32, minor: i32) -> Result<String, CudaError> {
    find_compiler()?;
    let own = 10 * major + minor;
    let failed = |reason: &str| CudaError::Compile { target: format!("sm_{own}"), reason: reason.to_owned() };
    let mut count = 0;
    // SAFETY: NVRTC writes one int.
    unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut count) }
        .result()
        .map_err(|error| failed(&format!("{error:?}")))?;
    let mut known = vec![0; usize::try_from(count).unwrap_or(0)];
    // SAFETY: there is room for as many ints as it has said.
    unsafe { sys::nvrtcGetSupportedArchs(known.as_mut_ptr()) }
        .result()
        .map_err(|error| failed(&format!("{error:?}")))?;
    match known.into_iter().filter(|arch| *arch <= own).max() {
        Some(arch) if arch == own => Ok(format!("sm_{arch}")),
        Some(arch) => Ok(format!("compute_{arch}")),
        None => Err(failed("it knows no such device")),
    }
}

/// Whether there is a compiler, of a version that has all functions used here. What is loaded after this does not panic.
fn find_compiler() -> Result<(), CudaError> {
    // With candle's device the program is linked with it, and does not start without.
    #[cfg(not(feature = "candle-cuda"))]
    // SAFETY: loading NVRTC runs its initializers, which is what it is for.
    if !unsafe { sys::is_culib_present() } {
        return Err(CudaError::NoCompiler);
    }
    let (mut major, mut minor) = (0, 0);
    // SAFETY: NVRTC writes two ints; every version has this function.
    let found = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) }.result();
    if found.is_ok() && major >= 12 { Ok(()) } else { Err(CudaError::NoCompiler) }
}

struct Program {
    handle: sys::nvrtcProgram,
    /// NVRTC may read it as long as the program lives.
    _text: CString,
}

impl Program {
    fn log(&self) -> String {
        // SAFETY: the program is alive, here and below.
        let log = unsafe { result::get_program_log(self.handle) }.unwrap_or_default();
        let bytes: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
        CStr::from_bytes_until_nul(&bytes)
            .map(|log| log.to_string_lossy().trim().to_owned())
            .unwrap_or_default()
    }

    fn ptx(&self) -> Result<Vec<u8>, result::NvrtcError> {
        // SAFETY: as above.
        let text = unsafe { result::get_ptx(self.handle) }?;
        Ok(text.into_iter().map(|byte| byte as u8).collect())
    }

    fn cubin(&self) -> Result<Vec<u8>, result::NvrtcError> {
        let mut size = 0;
        // SAFETY: as above; NVRTC writes the size, then as many bytes.
        unsafe { sys::nvrtcGetCUBINSize(self.handle, &raw mut size) }.result()?;
        let mut code = vec![0_u8; size];
        // SAFETY: as above.
        unsafe { sys::nvrtcGetCUBIN(self.handle, code.as_mut_ptr().cast()) }.result()?;
        Ok(code)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the program is alive, and nobody else has its handle. A failure leaves memory behind, nothing else.
        let _ = unsafe { result::destroy_program(self.handle) };
    }
}

//! The processor that plays a device: emulator.cpp with the kernels' text, built by `c++`, spoken to over pipes. A process of its
//! own, because a fault in a kernel must end as a failed test.

#![allow(clippy::disallowed_methods, reason = "built anew by every run, so its files need not last")]
#![allow(unsafe_code, reason = "`Machine::launch` is unsafe; this one does nothing that is")]

use flexihash::kernel::cuda::{Arg, CudaError, Kernel, Machine, PROGRAM, Tensors, VARIANTS};
use flexihash::model::network::candle_core::{Device, Tensor};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// A running emulator.
#[derive(Debug)]
pub(crate) struct Emulator {
    pipes: Arc<Mutex<Pipes>>,
    /// Draws the order of threads; another one for each launch.
    seed: AtomicU64,
    /// Tensors that have come or gone.
    tensors: AtomicU64,
}

#[derive(Debug)]
struct Pipes {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Pipes {
    fn send(&mut self, bytes: &[u8]) {
        self.to.write_all(bytes).expect("the emulator takes commands: what ended it stands above");
    }

    fn numbers(&mut self, numbers: impl IntoIterator<Item = u64>) {
        let bytes: Vec<u8> = numbers.into_iter().flat_map(u64::to_ne_bytes).collect();
        self.send(&bytes);
    }

    fn receive(&mut self, bytes: &mut [u8]) {
        self.to.flush().expect("the emulator takes commands");
        self.from.read_exact(bytes).expect("the emulator answers: what ended it stands above");
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory of the emulator.
#[derive(Debug)]
pub(crate) struct Memory {
    id: u64,
    bytes: usize,
    pipes: Arc<Mutex<Pipes>>,
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Ok(mut pipes) = self.pipes.lock() {
            // After a fault nobody listens.
            let _ = pipes.to.write_all(&[b"F".as_slice(), &self.id.to_ne_bytes()].concat());
        }
    }
}

/// Builds the emulator, once.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let sanitizers = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        build("emulator.cpp", "emulator", &sanitizers)
    })
}

/// Builds `source`, which includes the kernels' text, as `output` in the folder of temporary files.
pub(crate) fn build(source: &str, output: &str, options: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = |name: &str| folder.join(format!("{output}.{name}"));
    let names: std::collections::BTreeSet<String> =
        VARIANTS.iter().flat_map(|&vectors| Kernel::all(vectors)).map(|kernel| kernel.full_name()).collect();
    let entries: String = names.iter().map(|name| format!("ENTRY({name})\n")).collect();
    std::fs::write(file("program.cu"), PROGRAM).unwrap();
    std::fs::write(file("entries.inc"), entries).unwrap();
    let define = |name: &str, value: &str| format!("-D{name}=\"{}\"", file(value).display());
    let built = Command::new("c++")
        // As NVRTC is told: products and sums are rounded each.
        .args(["-std=c++17", "-ffp-contract=off", "-Wall", "-Werror", "-Wno-unknown-pragmas"])
        .args(options)
        .args([define("PROGRAM_FILE", "program.cu"), define("ENTRIES_FILE", "entries.inc")])
        .arg("-o")
        .arg(folder.join(output))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cuda").join(source))
        .status();
    assert!(built.expect("c++ runs").success(), "{source} and the kernels compile as C++");
    folder.join(output)
}

/// A fresh emulator, the order of its threads drawn from `seed`.
pub(crate) fn emulator(seed: u64) -> Arc<Emulator> {
    let mut command = Command::new(built());
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let pipes = Arc::new(Mutex::new(Pipes { child, to, from }));
    Arc::new(Emulator { pipes, seed: AtomicU64::new(seed), tensors: AtomicU64::new(0) })
}

impl Emulator {
    /// How many tensors have come or gone.
    pub(crate) fn tensors(&self) -> u64 {
        self.tensors.load(Ordering::Relaxed)
    }

    fn pipes(&self) -> std::sync::MutexGuard<'_, Pipes> {
        self.pipes.lock().expect("the emulator runs: what ended it stands above")
    }
}

impl Machine for Emulator {
    type Memory = Memory;
    type Staging = Vec<u8>;

    fn zeroed(&self, bytes: usize) -> Result<Memory, CudaError> {
        let mut pipes = self.pipes();
        pipes.send(b"A");
        pipes.numbers([bytes as u64]);
        let mut id = [0; 8];
        pipes.receive(&mut id);
        Ok(Memory { id: u64::from_ne_bytes(id), bytes, pipes: self.pipes.clone() })
    }

    fn staging(&self, bytes: usize) -> Result<Vec<u8>, CudaError> {
        Ok(vec![0; bytes])
    }

    fn write<'s>(&self, staging: &'s mut Vec<u8>) -> Result<&'s mut [u8], CudaError> {
        Ok(staging)
    }

    fn send(&self, staging: &mut Vec<u8>, bytes: usize, to: &mut Memory) -> Result<(), CudaError> {
        self.upload(&staging[..bytes], to, 0)
    }

    fn upload(&self, from: &[u8], to: &mut Memory, at: usize) -> Result<(), CudaError> {
        assert!(at + from.len() <= to.bytes);
        let mut pipes = self.pipes();
        pipes.send(b"W");
        pipes.numbers([to.id, at as u64, from.len() as u64]);
        pipes.send(from);
        Ok(())
    }

    fn download(&self, from: &Memory, at: usize, to: &mut [u8]) -> Result<(), CudaError> {
        assert!(at + to.len() <= from.bytes);
        let mut pipes = self.pipes();
        pipes.send(b"R");
        pipes.numbers([from.id, at as u64, to.len() as u64]);
        pipes.receive(to);
        Ok(())
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        blocks: u32,
        args: &mut [Arg<'_, Memory>],
    ) -> Result<(), CudaError> {
        let name = kernel.full_name();
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let mut pipes = self.pipes();
        pipes.send(b"L");
        pipes.numbers([name.len() as u64]);
        pipes.send(name.as_bytes());
        pipes.numbers([u64::from(blocks), seed, args.len() as u64]);
        pipes.numbers(args.iter().flat_map(|arg| match arg {
            Arg::Read(memory) => [u64::from(b'b'), memory.id],
            Arg::Write(memory) => [u64::from(b'b'), memory.id],
            Arg::U32(number) => [u64::from(b'u'), u64::from(*number)],
            Arg::U64(number) => [u64::from(b'U'), *number],
            Arg::F32(number) => [u64::from(b'f'), u64::from(number.to_bits())],
            Arg::F64(number) => [u64::from(b'd'), number.to_bits()],
        }));
        pipes.receive(&mut [0]);
        Ok(())
    }
}

/// candle computes on the processor beside it, and its tensors come and go by copies, as a device's do.
impl Tensors for Emulator {
    fn candle(&self) -> Device {
        Device::Cpu
    }

    fn tensor(&self, from: &Memory, floats: usize) -> Result<Tensor, CudaError> {
        self.tensors.fetch_add(1, Ordering::Relaxed);
        let mut values = vec![0.0_f32; floats];
        self.download(from, 0, bytemuck::cast_slice_mut(&mut values))?;
        Ok(Tensor::from_vec(values, floats, &Device::Cpu).unwrap())
    }

    fn copy_tensor(&self, from: &Tensor, to: &mut Memory) -> Result<(), CudaError> {
        self.tensors.fetch_add(1, Ordering::Relaxed);
        let values: Vec<f32> = from.flatten_all().and_then(|values| values.to_vec1()).unwrap();
        self.upload(bytemuck::cast_slice(&values), to, 0)
    }
}

//! `--device`: opened, and tried, before anything is read or written, so that what is missing or does not fit is said at once.

use crate::error::{CommandError, usage};
use flexihash::config::{DeviceChoice, ModelFlags, RunFlags};
use flexihash::engine::Model;
use flexihash::hash::HashKey;
use flexihash::learner::LearnerError;
use std::path::Path;

/// Where a network's rows are to be.
pub(crate) struct Placement {
    choice: DeviceChoice,
    device: Option<imp::Opened>,
}

impl Placement {
    /// Opens the device that is asked for. `flags` are those given; `goes_on`: a model that is stored, which they need not describe, may
    /// go on.
    pub(crate) fn open(run: &RunFlags, flags: &ModelFlags, goes_on: bool) -> Result<Self, CommandError> {
        let goes_on = goes_on && run.model.as_deref().is_some_and(Path::exists);
        let choice = run.device.unwrap_or_default();
        let index = match choice {
            DeviceChoice::Cpu => return Ok(Self { choice, device: None }),
            DeviceChoice::Auto => 0,
            DeviceChoice::Cuda(index) => index,
        };
        let mut placement = Self { choice, device: None };
        if flags.network.is_none() && !goes_on {
            placement.refused(&LearnerError::HeadsOnDevice.to_string())?;
            return Ok(placement);
        }
        match imp::open(index) {
            Ok(device) => placement.device = Some(device),
            Err(reason) => placement.refused(&reason)?,
        }
        if !goes_on {
            placement.take(&mut Model::new(flags, &HashKey::default())?)?;
        }
        Ok(placement)
    }

    /// Takes the rows of `model` there.
    pub(crate) fn take(&mut self, model: &mut Model) -> Result<(), CommandError> {
        let Some(device) = &self.device else { return Ok(()) };
        if let Err(reason) = device.take(model) {
            self.device = None;
            self.refused(&reason)?;
        }
        Ok(())
    }

    /// Ends the command, but for `auto`, which says so and goes on.
    fn refused(&self, reason: &str) -> Result<(), CommandError> {
        if self.choice != DeviceChoice::Auto {
            return Err(usage(format!("--device {}: {reason}", self.choice)));
        }
        tracing::warn!("--device auto takes the CPU: {reason}");
        Ok(())
    }
}

#[cfg(all(feature = "cuda", feature = "network"))]
mod imp {
    use flexihash::engine::Model;
    use flexihash::kernel::cuda::Device;
    use std::sync::Arc;

    /// A device.
    pub(super) struct Opened(Arc<Device>);

    pub(super) fn open(index: usize) -> Result<Opened, String> {
        Device::open(index).map(|device| Opened(Arc::new(device))).map_err(|error| error.to_string())
    }

    impl Opened {
        pub(super) fn take(&self, model: &mut Model) -> Result<(), String> {
            let device = Arc::clone(&self.0);
            #[cfg(feature = "candle-cuda")]
            let moved = model.move_network_to_device(device);
            #[cfg(not(feature = "candle-cuda"))]
            let moved = model.move_to_device(device);
            moved.map_err(|error| error.to_string())
        }
    }
}

#[cfg(not(all(feature = "cuda", feature = "network")))]
mod imp {
    use flexihash::engine::Model;

    /// There is none.
    pub(super) enum Opened {}

    pub(super) fn open(_: usize) -> Result<Opened, String> {
        Err("this flexihash was built without GPUs: cargo build --release --features cuda,network builds it with them".to_owned())
    }

    impl Opened {
        pub(super) fn take(&self, _: &mut Model) -> Result<(), String> {
            match *self {}
        }
    }
}

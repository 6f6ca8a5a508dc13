//! The network of a model and its declared fields: `[network]` and `[[fields]]` of a config file.

use super::model::refuse;
use super::{ConfigError, ModelFlags};
use crate::field::{FieldKind as DeclaredKind, FieldOptions, Fields};
use crate::learner::{Learning, NetworkOptions};
use crate::model::Loss;
use crate::model::network::{FieldKind, Network, NetworkError, System};
use crate::optim::OptimizerOptions;
use std::sync::Arc;

/// Most records that are learned together.
const MAX_BATCH: usize = 1 << 16;

/// A network's options, all decided.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// What predicts.
    pub network: Arc<dyn Network>,
    /// What it takes of a record.
    pub fields: Arc<Fields>,
    /// How it learns.
    pub options: NetworkOptions,
}

impl ModelFlags {
    /// The published system that `[network]` names.
    fn system(&self) -> Result<Option<System>, ConfigError> {
        let system = self.network.clone().map(serde_json::from_value).transpose();
        system.map_err(|error| refuse("network", error.to_string()))
    }

    /// The network that `[network]` names.
    pub(super) fn built_network(&self) -> Result<Option<Arc<dyn Network>>, ConfigError> {
        let built = self.system()?.map(System::build).transpose();
        built.map_err(|error: NetworkError| refuse("network", error.to_string()))
    }

    /// Fills in what `[network]` and `[[fields]]` leave out; what cannot be filled in stays, and [`ModelFlags::resolve`] says why.
    pub(super) fn with_network_defaults(mut self) -> Self {
        if let Ok(Some(system)) = self.system() {
            self.network = serde_json::to_value(system).ok();
        }
        match self.built_network() {
            Ok(Some(network)) => self.with_defaults_of(&network),
            _ => self,
        }
    }

    /// The flags of a model that predicts by `network`, which no option names.
    pub(crate) fn of_network(mut self, network: &dyn Network) -> Result<Self, ConfigError> {
        if self.network.is_some() {
            return Err(refuse("network", "names a network, but another one was given"));
        }
        self.network = serde_json::to_value(System::Custom).ok();
        Ok(self.with_defaults_of(network))
    }

    /// What is left out, as a network wants it that no option need name.
    fn with_defaults_of(mut self, network: &dyn Network) -> Self {
        if let Ok(fields) = declared(&self.fields, network) {
            self.fields = fields.options().to_vec();
        }
        self.loss = Some(super::LossName::of(network.objective().loss()));
        self
    }

    /// Network, fields and how it learns, checked.
    pub(super) fn network_config(&self, network: Arc<dyn Network>) -> Result<NetworkConfig, ConfigError> {
        self.check_heads_only()?;
        let fields = declared(&self.fields, &network).map_err(|error| refuse("fields", error.to_string()))?;
        let batch = self.batch.unwrap_or(1);
        if !(1..=MAX_BATCH).contains(&batch) {
            return Err(refuse("batch", format!("expected 1 to {MAX_BATCH}, got {batch}")));
        }
        let Learning::Given(optimizer) = self.clone().with_defaults().learning()? else {
            return Err(refuse("learning-rate", "a network has no auto: give a rate, or leave it out"));
        };
        let dense = self.dense(optimizer)?;
        let options = NetworkOptions { batch, seed: self.seed.unwrap_or_default(), rows: optimizer, dense };
        Ok(NetworkConfig { network, fields: Arc::new(fields), options })
    }

    /// What moves the dense parameters: as the rows, but for what is said otherwise.
    fn dense(&self, rows: OptimizerOptions) -> Result<OptimizerOptions, ConfigError> {
        let kind = self.dense_optimizer.unwrap_or(rows.kind);
        let rate = if self.dense_optimizer.is_some() { kind.default_rate() } else { rows.rate };
        let rate = self.dense_learning_rate.unwrap_or(rate);
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(refuse("dense-learning-rate", format!("expected a number above 0, got {rate}")));
        }
        Ok(OptimizerOptions { kind, rate, ..rows })
    }

    /// Options of heads, which a network does not have.
    fn check_heads_only(&self) -> Result<(), ConfigError> {
        let given = [
            ("head", self.head.is_some()),
            ("dim", self.dim.is_some()),
            ("tasks", !self.tasks.is_empty()),
            ("hash", self.hash.is_some()),
            ("buckets", self.buckets.is_some()),
            ("hashes", self.hashes.is_some()),
            ("alternate-sign", self.alternate_sign.is_some()),
            ("quantile", self.quantile.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                Err(refuse(option, "has no effect on a network: say it in [network] or in its [[fields]]"))
            }
            None => Ok(()),
        }
    }

    /// The loss that the network minimizes; a given one must be the same.
    pub(super) fn network_loss(&self, network: &dyn Network) -> Result<Loss, ConfigError> {
        let loss = network.objective().loss();
        let given = if self.loss.is_some() { Some(self.loss()?) } else { None };
        match given {
            Some(given) if given != loss => {
                let name = super::LossName::of(loss);
                let name = serde_json::to_value(name).unwrap_or_default();
                Err(refuse(
                    "loss",
                    format!("this network minimizes {name}: leave it out, or change [network]"),
                ))
            }
            _ => Ok(loss),
        }
    }
}

/// The declared fields, where they leave something out as the network wants it.
fn declared(options: &[FieldOptions], network: &dyn Network) -> Result<Fields, crate::field::FieldError> {
    let wanted = network.fields();
    let outputs = network.outputs();
    let fill = |mut option: FieldOptions| {
        let kind = wanted.iter().find(|field| field.name == option.name).map(|field| field.kind);
        let unsized_ = option.width.is_none() && option.names.is_empty();
        match (kind, option.kind) {
            (Some(FieldKind::Sum { dim }), DeclaredKind::Sum | DeclaredKind::Id) => {
                option.dim = option.dim.or(Some(dim));
            }
            (Some(FieldKind::Stacked { hashes, dim }), DeclaredKind::Id) => {
                option.dim = option.dim.or(Some(dim));
                option.hashes = option.hashes.or(u32::try_from(hashes).ok());
            }
            (Some(FieldKind::Numbers { width }), DeclaredKind::Numbers) if unsized_ => {
                option.width = Some(width);
            }
            (Some(FieldKind::Category { count }), DeclaredKind::Category) if unsized_ => {
                option.width = usize::try_from(count).ok();
            }
            (None, DeclaredKind::Labels) if unsized_ && outputs.list.is_some() => {
                option.names.clone_from(&outputs.names);
            }
            _ => {}
        }
        option
    };
    Fields::new(options.iter().cloned().map(fill).collect())
}

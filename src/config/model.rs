//! What a model is bound to: options that decide its bits.

use super::ConfigError;
use crate::field::{FieldOptions, Fields};
use crate::hash::{HashKind, HashOptions};
use crate::learner::{HeadKind, Learner, LearnerError, LearnerOptions, LearnerState, Learning};
use crate::model::Loss;
use crate::optim::{LearningRate, OptimizerKind, OptimizerOptions, Schedule};
use crate::parse::ParseOptions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The losses by name; the quantile is an option of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the names are those of `Loss`")]
pub enum LossName {
    Logistic,
    Squared,
    Hinge,
    Quantile,
    Poisson,
}

/// Options of a model. `None`: not given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Learning"))]
pub struct ModelFlags {
    /// What is minimized: logistic, squared, hinge, quantile, poisson [default: logistic]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<LossName>))]
    pub loss: Option<LossName>,
    /// The quantile that --loss quantile aims at, between 0 and 1 [default: 0.5]
    #[cfg_attr(feature = "cli", arg(long))]
    pub quantile: Option<f64>,
    /// How features become a prediction: linear, fm (factorization machine) [default: linear]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<HeadKind>))]
    pub head: Option<HeadKind>,
    /// Factors per feature of --head fm; 4, 8, 16 or 32 with --learning-rate auto [default: 8]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dim: Option<usize>,
    /// auto (self-tuning), or a step size, which switches auto off [default: auto]
    #[cfg_attr(feature = "cli", arg(long, short = 'l'))]
    pub learning_rate: Option<LearningRate>,
    /// Optimizer for a given step size, which switches auto off: sgd, adagrad, ftrl, adam [default: adagrad]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<OptimizerKind>))]
    pub optimizer: Option<OptimizerKind>,
    /// Optimizer of a network's dense parameters [default: as the rows']
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<OptimizerKind>))]
    pub dense_optimizer: Option<OptimizerKind>,
    /// Step size of a network's dense parameters [default: that of the rows, or of --dense-optimizer]
    #[cfg_attr(feature = "cli", arg(long))]
    pub dense_learning_rate: Option<f64>,
    /// How a given step size falls: constant, inverse-sqrt, inverse, power [default: constant]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<Schedule>))]
    pub schedule: Option<Schedule>,
    /// Exponent of --schedule power [default: 0.5]
    #[cfg_attr(feature = "cli", arg(long))]
    pub power_t: Option<f64>,
    /// t0 of the schedule, rate * (t0 / (t0 + t))^p [default: 1]
    #[cfg_attr(feature = "cli", arg(long))]
    pub initial_t: Option<f64>,
    /// L1 regularization of a given optimizer [default: 0]
    #[cfg_attr(feature = "cli", arg(long))]
    pub l1: Option<f64>,
    /// L2 regularization of a given optimizer [default: 0]
    #[cfg_attr(feature = "cli", arg(long))]
    pub l2: Option<f64>,
    /// Beta of --optimizer ftrl [default: 1]
    #[cfg_attr(feature = "cli", arg(long))]
    pub ftrl_beta: Option<f64>,
    /// Seed of initial values [default: 0]
    #[cfg_attr(feature = "cli", arg(long))]
    pub seed: Option<u64>,
    /// Names of the tasks, where labels are objects; else the first labelled records name them
    #[cfg_attr(feature = "cli", arg(long, value_delimiter = ','))]
    pub tasks: Vec<String>,
    /// How features find their rows: siphash (keyed), sklearn, mmh3, modulo [default: siphash]
    #[cfg_attr(feature = "cli", arg(long, value_parser = super::named::<HashKind>, help_heading = "Features"))]
    pub hash: Option<HashKind>,
    /// Rows of the table, any number from 1 to 2^31 [default: 4194304]
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Features"))]
    pub buckets: Option<u32>,
    /// Rows per feature, each by an independent hash; their sum is the feature's embedding [default: 1]
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Features"))]
    pub hashes: Option<u32>,
    /// Let a bit of the hash flip the value's sign
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Features"))]
    pub alternate_sign: Option<bool>,
    /// Name of the label's key [default: label]
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Features"))]
    pub label_field: Option<String>,
    /// Name of the weight's key [default: weight]
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Features"))]
    pub weight_field: Option<String>,
    /// Name of the id's key [default: id]
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Features"))]
    pub id_field: Option<String>,
    /// Name of the feature object's key [default: features]
    #[cfg_attr(feature = "cli", arg(long, help_heading = "Features"))]
    pub features_field: Option<String>,
    /// Every top-level key but id, label and weight is a feature
    #[cfg_attr(feature = "cli", arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Features"))]
    pub flat: Option<bool>,
    /// With --kafka: a message's headers are features, strings under this key
    #[cfg_attr(feature = "cli", arg(long, value_name = "KEY", help_heading = "Features"))]
    pub headers_as: Option<String>,
    /// With a network (--config): records learned together; predictions of a batch are made before any of it is learned [default: 1]
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub batch: Option<usize>,
    /// A network instead of a head: options of a [`System`](crate::model::network::System). In a config file only.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub network: Option<serde_json::Value>,
    /// What the network takes of a record. In a config file only.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub fields: Vec<FieldOptions>,
}

impl LossName {
    /// The name of a loss.
    pub fn of(loss: Loss) -> Self {
        match loss {
            Loss::Logistic => Self::Logistic,
            Loss::Squared => Self::Squared,
            Loss::Hinge => Self::Hinge,
            Loss::Quantile(_) => Self::Quantile,
            Loss::Poisson => Self::Poisson,
        }
    }
}

/// A model's options, all decided.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    /// What is learned and how.
    pub learner: LearnerOptions,
    /// Keys to slots.
    pub hash: HashOptions,
    /// Bytes to examples.
    pub parse: ParseOptions,
    /// A network, which takes the place of `learner` and `hash`.
    #[cfg(feature = "network")]
    pub network: Option<super::NetworkConfig>,
}

impl ModelConfig {
    /// A learner that has learned nothing.
    ///
    /// # Errors
    /// Options it refuses, or no memory for its tables.
    pub fn learner(&self) -> Result<Learner, LearnerError> {
        #[cfg(feature = "network")]
        if let Some(network) = &self.network {
            return Learner::of_network(Arc::clone(&network.network), &network.fields, network.options);
        }
        Learner::new(self.learner.clone())
    }

    /// The learner of a stored state; its tables are still to be filled.
    ///
    /// # Errors
    /// Those of [`ModelConfig::learner`]; the state of another model.
    pub fn restore(
        &self,
        state: LearnerState,
        vectors: &BTreeMap<String, Vec<f64>>,
    ) -> Result<Learner, LearnerError> {
        #[cfg(feature = "network")]
        if self.network.is_some() {
            return self.learner()?.restore_network(state, vectors);
        }
        Learner::restore(self.learner.clone(), state, vectors)
    }

    /// The declared fields of a network.
    pub fn fields(&self) -> Option<Arc<Fields>> {
        #[cfg(feature = "network")]
        return self.network.as_ref().map(|network| Arc::clone(&network.fields));
        #[cfg(not(feature = "network"))]
        None
    }
}

pub(super) fn refuse(option: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Option { option: option.to_owned(), reason: reason.into() }
}

impl ModelFlags {
    /// Fills every option in with its default, so that a stored model does not change with a later release's.
    pub fn with_defaults(self) -> Self {
        let learner = LearnerOptions::default();
        let hash = HashOptions::default();
        let parse = ParseOptions::default();
        let heads = self.network.is_none();
        let auto = self.chooses_auto();
        let kind = self.optimizer.unwrap_or_default();
        let given = OptimizerOptions::new(kind);
        let rate = self.learning_rate.unwrap_or(if auto {
            LearningRate::Auto
        } else {
            LearningRate::Rate(kind.default_rate())
        });
        let flags = Self {
            loss: Some(self.loss.unwrap_or(LossName::Logistic)),
            quantile: heads.then_some(self.quantile.unwrap_or(0.5)),
            head: heads.then_some(self.head.unwrap_or(learner.head)),
            dim: heads.then_some(self.dim.unwrap_or(learner.dim)),
            learning_rate: Some(rate),
            optimizer: if auto { None } else { Some(kind) },
            dense_optimizer: self.dense_optimizer,
            dense_learning_rate: self.dense_learning_rate,
            schedule: Some(self.schedule.unwrap_or(given.schedule)),
            power_t: Some(self.power_t.unwrap_or(given.power_t)),
            initial_t: Some(self.initial_t.unwrap_or(given.initial_t)),
            l1: Some(self.l1.unwrap_or(given.l1)),
            l2: Some(self.l2.unwrap_or(given.l2)),
            ftrl_beta: Some(self.ftrl_beta.unwrap_or(given.ftrl_beta)),
            seed: Some(self.seed.unwrap_or(learner.seed)),
            tasks: self.tasks,
            hash: heads.then_some(self.hash.unwrap_or(hash.kind)),
            buckets: heads.then_some(self.buckets.unwrap_or(hash.buckets)),
            hashes: heads.then_some(self.hashes.unwrap_or(hash.hashes)),
            alternate_sign: heads.then_some(self.alternate_sign.unwrap_or(hash.alternate_sign)),
            label_field: Some(self.label_field.unwrap_or(parse.label_field)),
            weight_field: Some(self.weight_field.unwrap_or(parse.weight_field)),
            id_field: Some(self.id_field.unwrap_or(parse.id_field)),
            features_field: Some(self.features_field.unwrap_or(parse.features_field)),
            flat: Some(self.flat.unwrap_or(parse.flat)),
            headers_as: self.headers_as,
            batch: Some(self.batch.unwrap_or(1)),
            network: self.network,
            fields: self.fields,
        };
        #[cfg(feature = "network")]
        let flags = flags.with_network_defaults();
        flags
    }

    /// Whether the self-tuning learner is wanted; a network has none.
    fn chooses_auto(&self) -> bool {
        self.network.is_none()
            && self.optimizer.is_none()
            && !matches!(self.learning_rate, Some(LearningRate::Rate(_)))
    }

    /// The options as the modules take them, checked.
    ///
    /// # Errors
    /// The first option that is wrong, by name.
    pub fn resolve(&self) -> Result<ModelConfig, ConfigError> {
        #[cfg(feature = "network")]
        if let Some(network) = self.built_network()? {
            return self.resolve_network(network);
        }
        if self.network.is_some() {
            return Err(refuse("network", "this program was built without networks (feature `network`)"));
        }
        if !self.fields.is_empty() {
            return Err(refuse("fields", "are what a network takes: [network] says which"));
        }
        let dense = [
            ("dense-optimizer", self.dense_optimizer.is_some()),
            ("dense-learning-rate", self.dense_learning_rate.is_some()),
        ];
        if let Some((option, _)) = dense.into_iter().find(|(_, given)| *given) {
            return Err(refuse(option, "has an effect on a network only: a head has no dense parameters"));
        }
        if self.batch.is_some_and(|batch| batch != 1) {
            return Err(refuse("batch", "has an effect on a network only: heads learn each record at once"));
        }
        self.check_excluded()?;
        let flags = self.clone().with_defaults();
        let loss = flags.loss()?;
        let hash = HashOptions {
            kind: flags.hash.unwrap_or_default(),
            buckets: flags.buckets.unwrap_or_default(),
            hashes: flags.hashes.unwrap_or_default(),
            alternate_sign: flags.alternate_sign.unwrap_or_default(),
        };
        hash.validate().map_err(|error| {
            refuse(error.option, format!("expected {}, got {}", error.expected, error.got))
        })?;
        let learner = LearnerOptions {
            loss,
            head: flags.head.unwrap_or_default(),
            dim: flags.dim.unwrap_or_default(),
            learning: flags.learning()?,
            buckets: hash.buckets,
            seed: flags.seed.unwrap_or_default(),
            tasks: flags.tasks.clone(),
        };
        let parse = flags.parse(loss)?;
        Ok(ModelConfig {
            learner,
            hash,
            parse,
            #[cfg(feature = "network")]
            network: None,
        })
    }

    /// The same for a network that may be one's own.
    ///
    /// # Errors
    /// The first option that is wrong, by name.
    #[cfg(feature = "network")]
    pub fn resolve_network(
        &self,
        network: Arc<dyn crate::model::network::Network>,
    ) -> Result<ModelConfig, ConfigError> {
        self.check_excluded()?;
        let loss = self.network_loss(&network)?;
        let parse = self.parse(loss)?;
        let network = Some(self.network_config(network)?);
        Ok(ModelConfig { learner: LearnerOptions::default(), hash: HashOptions::default(), parse, network })
    }

    /// Options that have no effect together are mistakes, not wishes.
    fn check_excluded(&self) -> Result<(), ConfigError> {
        let auto = self.chooses_auto();
        if self.optimizer.is_some() && self.learning_rate == Some(LearningRate::Auto) {
            return Err(refuse("learning-rate", "auto chooses its own optimizers: leave --optimizer out"));
        }
        let tuned =
            [("l1", self.l1), ("l2", self.l2), ("power-t", self.power_t), ("initial-t", self.initial_t)];
        for (option, value) in tuned {
            let default = if option == "power-t" { 0.5 } else { f64::from(u8::from(option == "initial-t")) };
            let Some(value) = value else { continue };
            if value.is_nan() || value < 0.0 || value.is_infinite() {
                return Err(refuse(option, format!("expected a finite number of at least 0, got {value}")));
            }
            if auto && value != default {
                return Err(refuse(
                    option,
                    "has no effect on --learning-rate auto: give --optimizer or a rate",
                ));
            }
        }
        if auto && self.schedule.is_some_and(|schedule| schedule != Schedule::Constant) {
            return Err(refuse(
                "schedule",
                "has no effect on --learning-rate auto: give --optimizer or a rate",
            ));
        }
        if self.headers_as.is_some() && matches!(self.hash, Some(HashKind::Mmh3 | HashKind::Modulo)) {
            return Err(refuse("headers-as", "headers are strings, and this --hash takes integer ids only"));
        }
        Ok(())
    }

    pub(super) fn loss(&self) -> Result<Loss, ConfigError> {
        Ok(match self.loss.unwrap_or(LossName::Logistic) {
            LossName::Logistic => Loss::Logistic,
            LossName::Squared => Loss::Squared,
            LossName::Hinge => Loss::Hinge,
            LossName::Poisson => Loss::Poisson,
            LossName::Quantile => match self.quantile.unwrap_or(0.5) {
                quantile if quantile > 0.0 && quantile < 1.0 => Loss::Quantile(quantile),
                got => {
                    return Err(refuse("quantile", format!("expected a number between 0 and 1, got {got}")));
                }
            },
        })
    }

    pub(super) fn learning(&self) -> Result<Learning, ConfigError> {
        let (Some(kind), Some(LearningRate::Rate(rate))) = (self.optimizer, self.learning_rate) else {
            return Ok(Learning::Auto);
        };
        let defaults = OptimizerOptions::new(kind);
        let options = OptimizerOptions {
            kind,
            rate,
            schedule: self.schedule.unwrap_or_default(),
            power_t: self.power_t.unwrap_or(defaults.power_t),
            initial_t: self.initial_t.unwrap_or(defaults.initial_t),
            l1: self.l1.unwrap_or_default(),
            l2: self.l2.unwrap_or_default(),
            ftrl_beta: self.ftrl_beta.unwrap_or(defaults.ftrl_beta),
        };
        for (option, value) in [("initial-t", options.initial_t), ("ftrl-beta", options.ftrl_beta)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(refuse(option, format!("expected a finite number above 0, got {value}")));
            }
        }
        Ok(Learning::Given(options))
    }

    fn parse(&self, loss: Loss) -> Result<ParseOptions, ConfigError> {
        let defaults = ParseOptions::default();
        let name = |given: &Option<String>, default: String| given.clone().unwrap_or(default);
        let options = ParseOptions {
            label_field: name(&self.label_field, defaults.label_field),
            weight_field: name(&self.weight_field, defaults.weight_field),
            id_field: name(&self.id_field, defaults.id_field),
            features_field: name(&self.features_field, defaults.features_field),
            flat: self.flat.unwrap_or_default(),
            headers_as: self.headers_as.clone(),
            labels: loss.labels(),
        };
        let mut names = vec![
            ("label-field", &options.label_field),
            ("weight-field", &options.weight_field),
            ("id-field", &options.id_field),
        ];
        if !options.flat {
            names.push(("features-field", &options.features_field));
        }
        for (i, (option, name)) in names.iter().enumerate() {
            if let Some((other, _)) = names.iter().take(i).find(|(_, other)| other == name) {
                return Err(refuse(option, format!("{name:?} is the name of --{other} already")));
            }
        }
        Ok(options)
    }

    /// Refuses flags that say something other than the model's `stored`, fully resolved options.
    pub fn check_against(&self, stored: &Self) -> Result<(), ConfigError> {
        #[cfg(feature = "network")]
        let given = self.clone().with_network_defaults();
        #[cfg(not(feature = "network"))]
        let given = self.clone();
        let (given, stored) = (super::file::fields(&given), super::file::fields(stored));
        for (option, given) in given {
            let stored = stored.get(&option).cloned().unwrap_or(serde_json::Value::Null);
            if given != stored && !same_number(&given, &stored) {
                let (stored, given) = (stored.to_string(), given.to_string());
                return Err(ConfigError::Contradiction { option, stored, given });
            }
        }
        Ok(())
    }
}

fn same_number(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

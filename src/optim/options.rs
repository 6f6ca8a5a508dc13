//! The choices a user has.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// `auto`, or a rate: which switches the self-tuning learner off.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum LearningRate {
    /// Many learners side by side, mixed by what they turn out to be worth.
    #[default]
    Auto,
    /// A step size > 0 for the chosen optimizer.
    Rate(f64),
}

/// Not `auto` and not a positive number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `auto` or a number above 0, got `{0}`")]
pub struct LearningRateError(String);

impl FromStr for LearningRate {
    type Err = LearningRateError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(Self::Rate(rate)),
            _ => Err(LearningRateError(text.to_owned())),
        }
    }
}

impl fmt::Display for LearningRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Rate(rate) => rate.fmt(f),
        }
    }
}

impl Serialize for LearningRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Rate(rate) => serializer.serialize_f64(*rate),
        }
    }
}

impl<'de> Deserialize<'de> for LearningRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Text(String),
        }
        let text = match Form::deserialize(deserializer)? {
            Form::Number(rate) => rate.to_string(),
            Form::Text(text) => text,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which optimizer moves the rows when a rate or an optimizer is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Stochastic gradient descent.
    Sgd,
    /// Per-coordinate rates (Duchi, Hazan & Singer 2011).
    #[default]
    Adagrad,
    /// Follow the regularized leader, proximal (McMahan et al. 2013).
    Ftrl,
    /// Adam (Kingma & Ba 2015), lazily: a row's moments move when it is touched.
    Adam,
}

impl OptimizerKind {
    /// The rate used when an optimizer is named without one.
    pub fn default_rate(self) -> f64 {
        match self {
            Self::Sgd => 0.05,
            Self::Adagrad | Self::Ftrl => 0.1,
            Self::Adam => 0.002,
        }
    }
}

/// How the rate falls with the number t of examples learned: `rate · (t₀ / (t₀ + t))^p`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// p = 0.
    #[default]
    Constant,
    /// p = 1/2.
    InverseSqrt,
    /// p = 1.
    Inverse,
    /// p = `power_t`.
    Power,
}

/// A given optimizer with its constants.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OptimizerOptions {
    /// Which.
    pub kind: OptimizerKind,
    /// Step size (α for FTRL), > 0.
    pub rate: f64,
    /// How it falls.
    pub schedule: Schedule,
    /// Exponent for [`Schedule::Power`].
    pub power_t: f64,
    /// t₀ of the schedule, > 0.
    pub initial_t: f64,
    /// L1 regularization, ≥ 0.
    pub l1: f64,
    /// L2 regularization, ≥ 0.
    pub l2: f64,
    /// β of FTRL.
    pub ftrl_beta: f64,
}

impl OptimizerOptions {
    /// `kind` with its usual constants.
    pub fn new(kind: OptimizerKind) -> Self {
        Self {
            kind,
            rate: kind.default_rate(),
            schedule: Schedule::Constant,
            power_t: 0.5,
            initial_t: 1.0,
            l1: 0.0,
            l2: 0.0,
            ftrl_beta: 1.0,
        }
    }

    /// The rate after `examples` learned.
    pub fn rate_at(&self, examples: f64) -> f64 {
        let decay = self.initial_t / (self.initial_t + examples);
        self.rate
            * match self.schedule {
                Schedule::Constant => 1.0,
                Schedule::InverseSqrt => decay.sqrt(),
                Schedule::Inverse => decay,
                Schedule::Power => libm::pow(decay, self.power_t),
            }
    }
}

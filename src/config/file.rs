//! Options from a TOML file: the same names as the flags, in one flat table.

#[cfg(feature = "kafka")]
use super::KafkaFlags;
use super::{ConfigError, ModelFlags, RunFlags};
use crate::field::FieldOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::Path;

/// Options read from a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConfigFile {
    /// Of the model.
    pub model: ModelFlags,
    /// Of the run.
    pub run: RunFlags,
    /// Of a run that reads topics.
    #[cfg(feature = "kafka")]
    pub kafka: KafkaFlags,
}

impl ConfigFile {
    /// Reads `path`. A key that is no option is an error that names it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        Self::parse(&text).map_err(|reason| ConfigError::File { path: path.to_owned(), reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let table: Map<String, Value> = toml::from_str(text).map_err(|error| error.to_string())?;
        let (model_names, run_names) = (names::<ModelFlags>(), names::<RunFlags>());
        let (mut model, mut run) = (Map::new(), Map::new());
        #[cfg(feature = "kafka")]
        let (kafka_names, mut kafka) = (names::<KafkaFlags>(), Map::new());
        for (key, value) in table {
            #[cfg(feature = "kafka")]
            if kafka_names.contains_key(&key) {
                kafka.insert(key, value);
                continue;
            }
            if model_names.contains_key(&key) {
                model.insert(key, value);
            } else if run_names.contains_key(&key) {
                run.insert(key, value);
            } else {
                return Err(format!(
                    "unknown option `{key}`: options here have the names of the flags, without --"
                ));
            }
        }
        Ok(Self {
            model: decode(model)?,
            run: decode(run)?,
            #[cfg(feature = "kafka")]
            kafka: decode(kafka)?,
        })
    }
}

fn decode<T: DeserializeOwned>(options: Map<String, Value>) -> Result<T, String> {
    // One by one, so that an error can name its option.
    for (key, value) in &options {
        for (index, one) in value.as_array().into_iter().flatten().enumerate().filter(|_| key == "fields") {
            if let Err(error) = serde_json::from_value::<FieldOptions>(one.clone()) {
                let name = one.get("name").and_then(Value::as_str).unwrap_or("without a name");
                return Err(format!("{key}: number {} ({name}): {error}", index + 1));
            }
        }
        let one = Map::from_iter([(key.clone(), value.clone())]);
        serde_json::from_value::<T>(Value::Object(one)).map_err(|error| format!("{key}: {error}"))?;
    }
    serde_json::from_value(Value::Object(options)).map_err(|error| error.to_string())
}

/// Every option's name.
fn names<T: Serialize + Default>() -> Map<String, Value> {
    match serde_json::to_value(T::default()) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// The options that were given.
pub(super) fn fields<T: Serialize>(options: &T) -> Map<String, Value> {
    given(serde_json::to_value(options).unwrap_or_default())
}

fn given(options: Value) -> Map<String, Value> {
    let given = |value: &Value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty());
    match options {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| given(value)).collect(),
        _ => Map::new(),
    }
}

/// `over` where it says something, else `under`. Fails for a path that is not UTF-8: positions and lengths are stored by
/// name, as JSON.
pub fn overlay<T: Serialize + DeserializeOwned>(under: &T, over: &T) -> Result<T, ConfigError> {
    let (under, over) = (serde_json::to_value(under), serde_json::to_value(over));
    let mut merged = given(under.map_err(ConfigError::NotUtf8)?);
    merged.extend(given(over.map_err(ConfigError::NotUtf8)?));
    serde_json::from_value(Value::Object(merged)).map_err(ConfigError::NotUtf8)
}

#[cfg(test)]
mod tests {
    use super::super::{Every, LossName};
    use super::*;
    use crate::optim::LearningRate;

    #[test]
    fn the_file_has_the_names_of_the_flags() {
        let text =
            "loss = \"squared\"\nlearning-rate = 0.5\ncheckpoint-every = [1000, \"30s\"]\npasses = 2\n";
        let file = ConfigFile::parse(text).unwrap();
        assert_eq!(file.model.loss, Some(LossName::Squared));
        assert_eq!(file.model.learning_rate, Some(LearningRate::Rate(0.5)));
        assert_eq!(file.run.checkpoint_every[0], Every::Records(1000));
        assert_eq!(file.run.passes, Some(2));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("los = 1", "unknown option `los`"),
            ("loss = \"logit\"", "loss: unknown variant `logit`"),
            ("passes = \"two\"", "passes: invalid type"),
            ("loss = ", "TOML parse error at line 1"),
        ] {
            let error = ConfigFile::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = ModelFlags { loss: Some(LossName::Hinge), seed: Some(3), ..ModelFlags::default() };
        let flags = ModelFlags { seed: Some(4), ..ModelFlags::default() };
        let merged = overlay(&file, &flags).unwrap();
        assert_eq!((merged.loss, merged.seed), (Some(LossName::Hinge), Some(4)));
    }

    #[test]
    fn a_contradiction_names_the_option() {
        let stored = ModelFlags::default().with_defaults();
        let same = ModelFlags { seed: Some(0), loss: Some(LossName::Logistic), ..ModelFlags::default() };
        assert!(same.check_against(&stored).is_ok());
        let other = ModelFlags { buckets: Some(77), ..ModelFlags::default() };
        let error = other.check_against(&stored).unwrap_err().to_string();
        assert!(error.starts_with("--buckets: this model was made with 4194304"), "{error}");
    }
}

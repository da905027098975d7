//! YAML in and out: the one place that prints it with `serde_yaml` and reads it with `serde-saphyr`.

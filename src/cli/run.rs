//! `handover run`: the operator, and its settings.
//!
//! Every flag is also an environment variable. What cannot be used is refused before anything starts, with
//! the name of the flag and what to write instead.

use std::{collections::BTreeSet, error::Error, sync::Arc};

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::{Failure, selector};
use crate::{
    api::span::Span,
    plan::Times,
    provider::endpoint::is_host,
    secret_value::SecretValue,
    settings::{ProxyUrl, Settings, Watch},
    telemetry::logs::{self, LogFormat, LogOptions},
    transport::network::install_crypto,
};

/// What was typed.
#[derive(Debug, Clone, Args)]
pub struct RunArguments {
    /// Where ledgers and the instance id live; the chart sets it to the Pod's own namespace
    #[arg(long, env = "HANDOVER_NAMESPACE")]
    namespace: Option<String>,

    /// Namespaces to serve, separated by commas; "*" watches the whole cluster [default: all granted]
    #[arg(long, env = "HANDOVER_WATCH_NAMESPACES", value_name = "NAMESPACES")]
    watch_namespaces: Option<String>,

    /// Serve only resources whose labels match, such as "shard=a"
    #[arg(long, env = "HANDOVER_SELECTOR")]
    selector: Option<String>,

    /// A host that a namespaced Connection may name, beside the documented ones; repeatable
    #[arg(
        long,
        env = "HANDOVER_ALLOW_HOST",
        value_name = "HOST",
        value_delimiter = ','
    )]
    allow_host: Vec<String>,

    /// A host that may be spoken to without TLS; repeatable
    #[arg(
        long,
        env = "HANDOVER_ALLOW_PLAIN_HTTP",
        value_name = "HOST",
        value_delimiter = ','
    )]
    allow_plain_http: Vec<String>,

    /// How many passes may run at once, per kind
    #[arg(
        long,
        env = "HANDOVER_CONCURRENCY",
        value_name = "N",
        default_value = "32"
    )]
    concurrency: String,

    /// How long a deleted resource waits for its provider
    #[arg(
        long,
        env = "HANDOVER_DELETION_TIMEOUT",
        value_name = "DURATION",
        default_value = "10m"
    )]
    deletion_timeout: String,

    /// Where /livez, /readyz and /metrics are served
    #[arg(
        long,
        env = "HANDOVER_ADMIN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "0.0.0.0:8080"
    )]
    admin_address: String,

    /// Egress proxy for calls to providers; the usual variables for it are ignored
    #[arg(
        long,
        env = "HANDOVER_PROXY",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret
    )]
    proxy: Option<Arc<SecretValue>>,

    /// Whether there are metrics for each resource
    #[arg(
        long,
        env = "HANDOVER_PER_RESOURCE_METRICS",
        value_name = "SWITCH",
        default_value = "on"
    )]
    per_resource_metrics: Switch,

    /// How log lines look
    #[arg(
        long,
        env = "HANDOVER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    log_format: Format,

    /// What is logged, such as "info,handover=debug"
    #[arg(
        long,
        env = "RUST_LOG",
        value_name = "DIRECTIVES",
        default_value = "info"
    )]
    log_filter: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    #[value(alias = "true")] // as Helm prints a boolean
    On,
    #[value(alias = "false")]
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Text,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--{flag}: {problem}; {remedy}")]
pub struct BadSetting {
    /// The flag, without its dashes.
    pub flag: &'static str,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub remedy: &'static str,
}

/// Runs an operator to its end. Times are `scale` times shorter than they ship.
pub fn run<R, E>(
    arguments: RunArguments,
    scale: u32,
    operator: impl FnOnce(Settings, Times) -> R,
) -> Result<(), Failure>
where
    R: Future<Output = Result<(), E>>,
    E: Error + 'static,
{
    let settings = Settings::try_from(arguments)?;
    install_crypto();
    logs::install(&settings.logs).map_err(Failure::Logs)?;
    settings.log();
    let times = settings.times(scale);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.enable_all().build().map_err(Failure::Runtime)?;
    let ended = runtime.block_on(operator(settings, times));
    // Whatever was worth waiting for has ended; a name resolution in the background may take minutes.
    runtime.shutdown_background();
    ended.map_err(|error| Failure::Operator(Box::new(error)))
}

impl TryFrom<RunArguments> for Settings {
    type Error = BadSetting;

    fn try_from(arguments: RunArguments) -> Result<Self, BadSetting> {
        Ok(Self {
            namespace: namespace(arguments.namespace)?,
            watch: watch(arguments.watch_namespaces.as_deref())?,
            selector: arguments.selector.map(label_selector).transpose()?,
            allow_hosts: hosts("allow-host", arguments.allow_host)?,
            allow_plain_http: hosts("allow-plain-http", arguments.allow_plain_http)?,
            concurrency: parsed(
                "concurrency",
                &arguments.concurrency,
                "write a number from 1 to 65535",
            )?,
            deletion_timeout: deletion_timeout(&arguments.deletion_timeout)?,
            admin_address: parsed(
                "admin-address",
                &arguments.admin_address,
                "write address and port, such as 0.0.0.0:8080 or [::]:8080",
            )?,
            proxy: arguments.proxy.map(|url| proxy(&url)).transpose()?,
            per_resource_metrics: matches!(arguments.per_resource_metrics, Switch::On),
            logs: log_options(arguments.log_format, arguments.log_filter)?,
        })
    }
}

fn bad(flag: &'static str, problem: impl Into<String>, remedy: &'static str) -> BadSetting {
    BadSetting {
        flag,
        problem: problem.into(),
        remedy,
    }
}

fn parsed<T: std::str::FromStr>(
    flag: &'static str,
    text: &str,
    remedy: &'static str,
) -> Result<T, BadSetting> {
    text.trim()
        .parse()
        .map_err(|_| bad(flag, format!("{text:?} cannot be used"), remedy))
}

fn namespace(given: Option<String>) -> Result<String, BadSetting> {
    const REMEDY: &str = "name the namespace of the ledgers, in the Pod its own";
    match given {
        Some(name) if is_namespace(&name) => Ok(name),
        Some(name) => Err(bad(
            "namespace",
            format!("{name:?} is no name of a namespace"),
            REMEDY,
        )),
        None => Err(bad(
            "namespace",
            "neither it nor HANDOVER_NAMESPACE is set",
            REMEDY,
        )),
    }
}

fn watch(given: Option<&str>) -> Result<Watch, BadSetting> {
    const FLAG: &str = "watch-namespaces";
    let Some(text) = given else {
        return Ok(Watch::Granted);
    };
    match text.trim() {
        "" => Err(bad(
            FLAG,
            "it is set, but empty",
            "leave it out for all granted namespaces, or write \"*\" for the whole cluster",
        )),
        "*" => Ok(Watch::Cluster),
        names => {
            let names: BTreeSet<_> = names
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect();
            match names.iter().find(|name| !is_namespace(name)) {
                None => Ok(Watch::Namespaces(names)),
                Some(name) => Err(bad(
                    FLAG,
                    format!("{name:?} is no name of a namespace"),
                    "write names separated by commas, or \"*\" alone",
                )),
            }
        }
    }
}

fn is_namespace(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    plain && (1..=63).contains(&name.len()) && !name.starts_with('-') && !name.ends_with('-')
}

fn label_selector(text: String) -> Result<String, BadSetting> {
    if selector::is_selector(&text) {
        Ok(text)
    } else {
        Err(bad(
            "selector",
            format!("{text:?} is no label selector"),
            "write one such as \"shard=a,tier in (x, y),!legacy\"",
        ))
    }
}

fn hosts(flag: &'static str, given: Vec<String>) -> Result<BTreeSet<String>, BadSetting> {
    let hosts = given.into_iter().map(|host| {
        let host = host.trim().to_ascii_lowercase();
        if is_host(&host) {
            return Ok(host);
        }
        Err(bad(
            flag,
            format!("{host:?} is no host"),
            "write a host such as errova.example.com, without scheme, port and path",
        ))
    });
    hosts.collect()
}

fn deletion_timeout(text: &str) -> Result<SignedDuration, BadSetting> {
    let span = Span::parse(text.trim()).ok();
    let duration = span.and_then(|span| SignedDuration::try_from(span.duration()).ok());
    duration.ok_or_else(|| {
        bad(
            "deletion-timeout",
            format!("{text:?} is no duration"),
            "write one number and one unit of s, m, h, d, such as 10m",
        )
    })
}

/// The value is not repeated: it may hold a password.
fn proxy(url: &SecretValue) -> Result<ProxyUrl, BadSetting> {
    ProxyUrl::parse(url.expose()).map_err(|error| {
        bad(
            "proxy",
            format!("its value is {error}"),
            "write one such as http://proxy.example.com:3128",
        )
    })
}

fn log_options(format: Format, filter: String) -> Result<LogOptions, BadSetting> {
    if logs::check_filter(&filter).is_err() {
        return Err(bad(
            "log-filter",
            format!("{filter:?} (perhaps from RUST_LOG) cannot be used"),
            "write directives such as info,handover=debug",
        ));
    }
    let format = match format {
        Format::Json => LogFormat::Json,
        Format::Text => LogFormat::Text,
    };
    Ok(LogOptions { format, filter })
}

#[expect(clippy::unnecessary_wraps, reason = "what clap asks of a parser")]
fn secret(text: &str) -> Result<Arc<SecretValue>, std::convert::Infallible> {
    Ok(Arc::new(SecretValue::new(text.to_owned())))
}

#[cfg(test)]
mod tests;

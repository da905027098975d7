//! From what is typed to what the operator gets.

use clap::{CommandFactory as _, Parser};

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    run: RunArguments,
}

fn settings(flags: &[&str]) -> Result<Settings, BadSetting> {
    let line = ["run"].iter().chain(flags);
    Settings::try_from(Line::try_parse_from(line).unwrap().run)
}

/// With what else is required.
fn with(flags: &[&str]) -> Result<Settings, BadSetting> {
    settings(&[&["--namespace", "handover-system"], flags].concat())
}

#[test]
fn without_flags_everything_is_as_documented() {
    let defaults = Settings::new("handover-system");
    assert_eq!(format!("{:?}", with(&[]).unwrap()), format!("{defaults:?}"));
}

#[test]
fn every_flag_has_an_environment_variable_of_its_name() {
    for argument in Line::command().get_arguments() {
        let flag = argument.get_long().unwrap();
        let expected = match flag {
            "log-filter" => "RUST_LOG".to_owned(),
            flag => format!("HANDOVER_{}", flag.to_uppercase().replace('-', "_")),
        };
        assert_eq!(argument.get_env().unwrap(), expected.as_str());
    }
}

#[test]
fn flags_are_read() {
    let settings = with(&[
        "--selector=shard=a",
        "--allow-host=Errova.example.com",
        "--allow-host=[::1],10.0.0.1",
        "--allow-plain-http=localhost",
        "--concurrency=7",
        "--deletion-timeout=90s",
        "--admin-address=127.0.0.1:0",
        "--proxy=http://user:canary@proxy:3128",
        "--per-resource-metrics=off",
        "--log-format=text",
        "--log-filter=handover=debug",
    ])
    .unwrap();
    assert_eq!(settings.selector.as_deref(), Some("shard=a"));
    let hosts: Vec<_> = settings.allow_hosts.iter().map(String::as_str).collect();
    assert_eq!(hosts, ["10.0.0.1", "[::1]", "errova.example.com"]);
    assert!(settings.allow_plain_http.contains("localhost"));
    assert_eq!(settings.concurrency.get(), 7);
    assert_eq!(settings.deletion_timeout, SignedDuration::from_secs(90));
    assert_eq!(settings.admin_address.to_string(), "127.0.0.1:0");
    let proxy = settings.proxy.as_ref().unwrap().expose();
    assert_eq!(proxy, "http://user:canary@proxy:3128");
    assert!(!settings.per_resource_metrics);
    assert_eq!(settings.logs.format, LogFormat::Text);
    assert_eq!(settings.logs.filter, "handover=debug");
}

#[test]
fn a_switch_takes_the_words_of_people_and_of_helm() {
    for (word, on) in [
        ("on", true),
        ("off", false),
        ("true", true),
        ("false", false),
    ] {
        let settings = with(&["--per-resource-metrics", word]).unwrap();
        assert_eq!(settings.per_resource_metrics, on, "{word}");
    }
}

#[test]
fn namespaces_to_serve_are_granted_ones_named_ones_or_all() {
    let watch = |flags: &[&str]| with(flags).map(|settings| settings.watch);
    assert_eq!(watch(&[]), Ok(Watch::Granted));
    assert_eq!(watch(&["--watch-namespaces=*"]), Ok(Watch::Cluster));
    let names = ["api", "web"].map(str::to_owned).into();
    assert_eq!(
        watch(&["--watch-namespaces=web, api,web"]),
        Ok(Watch::Namespaces(names))
    );
}

#[test]
fn what_cannot_be_used_is_refused_with_its_flag_and_a_remedy() {
    for (flag, values) in [
        ("namespace", &["", "Web", "a/b", "-a"][..]),
        ("watch-namespaces", &["", " ", "web,,api", "web,*", "Web"]),
        ("selector", &["", "a b", "a in", "a in ()", "=x"]),
        ("allow-host", &["", "https://x", "x:443", "x/y", "*.x"]),
        ("allow-plain-http", &["a@b"]),
        ("concurrency", &["0", "-1", "many", "65536", ""]),
        ("deletion-timeout", &["", "0s", "10", "10 m", "1h30m"]),
        ("admin-address", &["", "8080", "localhost:8080", "0.0.0.0"]),
        ("proxy", &["", "proxy:3128", "socks5://proxy"]),
        ("log-filter", &["handover=loud"]),
    ] {
        for value in values {
            let given = format!("--{flag}={value}");
            let given = if flag == "namespace" {
                settings(&[&given])
            } else {
                with(&[&given])
            };
            let error = given.unwrap_err();
            assert_eq!(error.flag, flag, "{value:?}");
            assert!(
                error.to_string().starts_with(&format!("--{flag}: ")),
                "{error}"
            );
        }
    }
}

#[test]
fn an_empty_list_of_namespaces_says_that_it_is_empty() {
    let error = with(&["--watch-namespaces="]).unwrap_err().to_string();
    assert_eq!(
        error,
        "--watch-namespaces: it is set, but empty; leave it out for all granted namespaces, or write \"*\" \
         for the whole cluster"
    );
}

#[test]
fn without_a_namespace_the_variable_is_named() {
    let error = settings(&[]).unwrap_err().to_string();
    assert!(error.contains("HANDOVER_NAMESPACE"), "{error}");
}

#[test]
fn a_107_no_password_of_a_proxy_is_shown() {
    let given = "--proxy=http://user:canary@proxy:3128";
    let line = Line::try_parse_from(["run", given]).unwrap();
    assert!(!format!("{line:?}").contains("canary"));
    assert!(!format!("{:?}", with(&[given]).unwrap()).contains("canary"));
    let refused = with(&["--proxy=socks5://user:canary@proxy"]).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("canary"));
}

//! Whole configurations of both versions, and what becomes of every key in them.

use super::*;
use crate::config::key::KEYS;

/// What the image of version 2 ships, in its shape.
const SHIPPED: &str = "version: 0.1\nlog:\n  fields:\n    service: registry\nstorage:\n  cache:\n    blobdescriptor: inmemory\n  filesystem:\n    rootdirectory: /var/lib/registry\nhttp:\n  addr: :5001\n  headers:\n    X-Content-Type-Options: [nosniff]\nhealth:\n  storagedriver:\n    enabled: true\n    interval: 10s\n    threshold: 3\n";

/// Every key of both versions, each with a value that it may have.
const EVERY_KEY: &str = "
version: 0.1
log:
  accesslog: {disabled: true}
  level: debug
  formatter: json
  fields: {service: registry, environment: staging}
  reportcaller: true
  hooks:
    - {type: mail, disabled: false, levels: [panic], options: {smtp: {addr: 'm:25', username: u, password: p, insecure: true}, from: a@b, to: [c@d]}}
loglevel: debug
storage:
  filesystem: {rootdirectory: /srv, maxthreads: 100}
  azure: {accountname: a, accountkey: k, container: c, realm: r, rootdirectory: /p, credentials: {type: t, clientid: i, tenantid: t, secret: s}, max_retries: 1, retry_delay: 1ms}
  gcs: {bucket: b, keyfile: /k, rootdirectory: /p, chunksize: 5, maxconcurrency: 2, credentials: {type: t, project_id: p}}
  s3: {accesskey: a, secretkey: s, region: r, regionendpoint: e, forcepathstyle: true, accelerate: false, bucket: b, encrypt: true, keyid: k, secure: true, v4auth: true, chunksize: 5, multipartcopychunksize: 3, multipartcopymaxconcurrency: 1, multipartcopythresholdsize: 3, rootdirectory: /p, usedualstack: false, usefipsendpoint: false, loglevel: debug, storageclass: s, useragent: u, skipverify: false, objectacl: p}
  swift: {username: u, password: p, authurl: a, tenant: t, tenantid: i, domain: d, domainid: i, insecureskipverify: true, region: f, container: c, rootdirectory: /p}
  oss: {accesskeyid: a, accesskeysecret: s, region: r, endpoint: e, bucket: b, encrypt: true, secure: true, chunksize: 10, rootdirectory: /p}
  inmemory:
  tag: {concurrencylimit: 8}
  delete: {enabled: true}
  redirect: {disable: false}
  cache: {blobdescriptor: redis, blobdescriptorsize: 10000}
  maintenance:
    uploadpurging: {enabled: true, age: 168h, interval: 24h, dryrun: false}
    readonly: {enabled: false}
auth:
  silly: {realm: r, service: s}
  token: {autoredirect: true, autoredirectpath: /t, realm: r, service: s, issuer: i, rootcertbundle: /b, jwks: /j, signingalgorithms: [EdDSA]}
  htpasswd: {realm: basic-realm, path: /auth/htpasswd}
middleware:
  registry: [{name: A, options: {foo: bar}}]
  repository: [{name: B, disabled: true, options: {foo: bar}}]
  storage: [{name: cloudfront, options: {baseurl: https://c, privatekey: /p, keypairid: k, duration: 3000s}}]
reporting:
  bugsnag: {apikey: k, releasestage: r, endpoint: e}
  newrelic: {licensekey: k, name: n, verbose: true}
http:
  addr: localhost:5000
  net: tcp
  prefix: /my/nested/registry/
  host: https://registry.example.org:5000
  secret: s
  relativeurls: false
  draintimeout: 60s
  tls:
    certificate: /c.pem
    key: /k.pem
    clientcas: [/a.pem, /b.pem]
    clientauth: require-and-verify-client-cert
    minimumtls: tls1.3
    ciphersuites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
    letsencrypt: {cachefile: /f, email: a@b, hosts: [r.example.org], directoryurl: https://d}
  headers: {X-Content-Type-Options: [nosniff], Access-Control-Allow-Origin: ['*']}
  debug: {addr: 'localhost:5001', prometheus: {enabled: true, path: /metrics}}
  http2: {disabled: false}
  h2c: {enabled: false}
notifications:
  events: {includereferences: true}
  endpoints:
    - {name: l, disabled: false, url: 'https://l/e', headers: {A: [b]}, timeout: 1s, threshold: 10, backoff: 1s, ignoredmediatypes: [x], ignore: {mediatypes: [x], actions: [pull]}}
redis:
  addr: localhost:6379
  addrs: [localhost:6379]
  username: u
  password: p
  db: 0
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
  maxidleconns: 16
  poolsize: 64
  connmaxidletime: 300s
  pool: {maxidle: 16, maxactive: 64, idletimeout: 300s}
  tls: {enabled: false, certificate: /c, key: /k, rootcas: [/r]}
health:
  storagedriver: {enabled: true, interval: 10s, threshold: 3}
  file: [{file: /f, interval: 10s, threshold: 1}]
  http: [{uri: 'http://s', headers: {A: [b]}, statuscode: 200, timeout: 3s, interval: 10s, threshold: 3}]
  tcp: [{addr: 'r:6379', timeout: 3s, interval: 10s, threshold: 3}]
proxy:
  remoteurl: https://registry-1.docker.io
  username: u
  password: p
  ttl: 168h
  cachewritetimeout: 1m
  exec: {command: helper, lifetime: 1h}
compatibility:
  schema1: {signingkeyfile: /k, enabled: true}
validation:
  enabled: true
  disabled: false
  manifests:
    urls: {allow: ['^https://'], deny: ['^http://']}
    indexes: {platforms: all, platformlist: [{architecture: amd64, os: linux}]}
policy:
  repository: {classes: [image]}
catalog: {maxentries: 1000}
tags: {maxtags: 1000}
";

fn read(text: &str) -> Registry2 {
    read_registry2(Some(("c.yml", text)), &[])
}

fn environment(pairs: &[(&str, &str)]) -> Registry2 {
    let variables: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read_registry2(None, &variables)
}

/// Key and value of every setting, as the program would show it.
fn settings(read: &Registry2) -> Vec<(&'static str, String)> {
    read.given.iter().map(|given| (given.key.path, given.value.text())).collect()
}

fn set(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(path, text)| (*path, (*text).to_owned())).collect()
}

/// Where, what and the first words of why.
fn problems(read: &Registry2) -> Vec<String> {
    read.problems.iter().map(|problem| problem.to_string().split(": ").take(2).collect::<Vec<_>>().join(": ")).collect()
}

#[test]
fn the_usual_file_is_understood_whole() {
    let read = read(SHIPPED);
    assert_eq!(settings(&read), set(&[("data", "/var/lib/registry"), ("listen", "0.0.0.0:5001")]));
    assert!(read.problems.is_empty() && read.warnings.is_empty(), "{read:?}");
}

#[test]
fn every_key_of_both_versions_has_its_fate() {
    let read = read(EVERY_KEY);
    let unknown: Vec<_> = read.fates.iter().filter(|fate| fate.text.starts_with("neither version")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(read.fates.len() > 150, "{}", read.fates.len());
    let mapped: Vec<_> =
        read.fates.iter().filter(|fate| fate.kind == FateKind::Mapped).map(|fate| fate.key.as_str()).collect();
    let expected = [
        "log.level",
        "log.formatter",
        "loglevel",
        "storage.filesystem.rootdirectory",
        "storage.delete.enabled",
        "storage.maintenance.uploadpurging.age",
        "storage.maintenance.readonly.enabled",
        "auth.htpasswd.realm",
        "auth.htpasswd.path",
        "http.addr",
        "http.host",
        "http.draintimeout",
        "http.tls.certificate",
        "http.tls.key",
        "http.tls.clientcas.0",
        "http.tls.clientcas.1",
        "http.tls.clientauth",
        "http.tls.minimumtls",
        "http.debug.addr",
        "validation.manifests.indexes.platforms",
    ];
    assert_eq!(mapped, expected);
    let without: Vec<_> =
        read.fates.iter().filter(|fate| fate.kind == FateKind::WithoutEffect).map(|fate| fate.key.as_str()).collect();
    let expected = [
        "log.accesslog.disabled",
        "log.hooks.0.type",
        "middleware.registry.0.name",
        "middleware.repository.0.name",
        "middleware.storage.0.name",
        "reporting.bugsnag.apikey",
        "reporting.bugsnag.releasestage",
        "reporting.bugsnag.endpoint",
        "reporting.newrelic.licensekey",
        "reporting.newrelic.name",
        "reporting.newrelic.verbose",
        "http.headers.access-control-allow-origin.0",
        "notifications.endpoints.0.url",
        "health.file.0.file",
        "health.http.0.uri",
        "health.tcp.0.addr",
        "compatibility.schema1.enabled",
        "validation.manifests.urls.allow.0",
        "validation.manifests.urls.deny.0",
        "policy.repository.classes.0",
    ];
    assert_eq!(without, expected);
    let mut refused: Vec<_> = read
        .fates
        .iter()
        .filter(|fate| fate.kind == FateKind::Refused)
        .map(|fate| fate.key.split('.').take(2).collect::<Vec<_>>().join("."))
        .collect();
    refused.dedup();
    let expected = [
        "storage.azure",
        "storage.gcs",
        "storage.s3",
        "storage.swift",
        "storage.oss",
        "storage.inmemory",
        "auth.silly",
        "auth.token",
        "http.prefix",
        "http.tls",
        "proxy.remoteurl",
    ];
    assert_eq!(refused, expected);
}

#[test]
fn the_table_names_keys_of_ours_and_none_twice() {
    for (index, (pattern, meaning)) in table::TABLE.iter().enumerate() {
        assert!(!table::TABLE[..index].iter().any(|(other, _)| other == pattern), "{pattern} stands twice");
        if let Meaning::Sets(ours) | Meaning::Reads(ours, _) | Meaning::Adds(ours) = meaning {
            assert!(KEYS.iter().any(|key| key.path == *ours), "{ours}");
        }
    }
}

/// Case 9, as compose writes it.
#[test]
fn the_usual_variables_are_understood() {
    let read = environment(&[
        ("REGISTRY_HTTP_TLS_CERTIFICATE", "/certs/domain.crt"),
        ("REGISTRY_HTTP_TLS_KEY", "/certs/domain.key"),
        ("REGISTRY_AUTH", "htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth/htpasswd"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "Registry Realm"),
        ("REGISTRY_STORAGE_DELETE_ENABLED", "true"),
        ("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{\"enabled\": true}"),
        ("REGISTRY_PORT", "tcp://10.0.0.1:5000"),
        ("REGISTRY_SERVICE_HOST", "10.0.0.1"),
        ("REGISTRY_AUTH_FILE", "/run/auth.json"),
    ]);
    let expected = [
        ("access.htpasswd", "/auth/htpasswd"),
        ("access.realm", "Registry Realm"),
        ("tls.certificate", "/certs/domain.crt"),
        ("tls.key", "/certs/domain.key"),
        ("access.htpasswd_delete", "true"),
        ("read_only", "true"),
    ];
    assert_eq!(settings(&read), set(&expected));
    assert!(read.problems.is_empty() && read.warnings.is_empty(), "{read:?}");
    assert_eq!(read.given[0].source.to_string(), "environment REGISTRY_AUTH_HTPASSWD_PATH");
}

#[test]
fn variables_count_more_than_the_file() {
    let variables = [
        ("REGISTRY_AUTH".to_owned(), "htpasswd".to_owned()),
        ("REGISTRY_AUTH_HTPASSWD_PATH".to_owned(), "/a".to_owned()),
        ("REGISTRY_STORAGE".to_owned(), "filesystem".to_owned()),
        ("REGISTRY_HTTP_ADDR".to_owned(), ":80".to_owned()),
    ];
    let text = "auth: {token: {realm: x}}\nstorage: {s3: {bucket: b}}\nhttp: {addr: ':5000'}\n";
    let read = read_registry2(Some(("c.yml", text)), &variables);
    assert_eq!(settings(&read), set(&[("access.htpasswd", "/a"), ("listen", "0.0.0.0:80")]));
    assert!(read.problems.is_empty(), "{read:?}");
}

#[test]
fn what_protects_or_would_be_another_registry_is_a_problem() {
    let cases: &[(&str, &str)] = &[
        ("proxy: {remoteurl: https://registry-1.docker.io}\n", "c.yml:1:9: `proxy.remoteurl`"),
        ("auth: {token: {realm: https://a}}\n", "c.yml:1:16: `auth.token.realm`"),
        ("auth: htpasswd\n", "c.yml:1:1: the password file is not named"),
        ("auth: silly\n", "c.yml:1:1: `auth.silly`"),
        ("storage: inmemory\n", "c.yml:1:1: `storage.inmemory`"),
        ("storage: {s3: {bucket: b}}\n", "c.yml:1:16: `storage.s3.bucket`"),
        ("http: {net: unix, addr: ':80'}\n", "c.yml:1:8: `http.net`"),
        ("http: {addr: nowhere}\n", "c.yml:1:8: `http.addr`"),
        ("http: {tls: {letsencrypt: {email: a@b}}}\n", "c.yml:1:28: `http.tls.letsencrypt.email`"),
        ("http: {tls: {clientauth: require-any-client-cert}}\n", "c.yml:1:14: `http.tls.clientauth`"),
        ("version: 0.2\n", "c.yml:1:1: `version`"),
        ("http: [\n", "c.yml:2:1: this is no YAML"),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(&read(text)), [*expected], "{text}");
    }
    let read = environment(&[("REGISTRY_PROXY_REMOTEURL", "https://registry-1.docker.io")]);
    let told = read.problems[0].to_string();
    assert!(told.starts_with("REGISTRY_PROXY_REMOTEURL: `proxy.remoteurl`: a registry that fetches"), "{told}");
}

#[test]
fn what_asks_for_nothing_is_no_problem() {
    let read = read(
        "proxy: {remoteurl: ''}\nhttp: {net: tcp, prefix: /, http2: {disabled: false}}\nauth: none\nstorage: filesystem\n",
    );
    assert!(read.problems.is_empty() && read.warnings.is_empty(), "{read:?}");
}

#[test]
fn an_unknown_key_is_warned_about() {
    let read = read("storge: {delete: {enabled: true}}\n");
    assert_eq!(
        read.warnings,
        ["c.yml:1:19: `storge.delete.enabled` has no effect: neither version 2.8 nor version 3 knows this key"]
    );
    let read = environment(&[("REGISTRY_NOSE", "x")]);
    assert!(read.warnings[0].starts_with("REGISTRY_NOSE: `nose` has no effect"), "{read:?}");
}

/// With `clientcas`, whoever has a certificate is let in there, and nobody else.
#[test]
fn client_certificates_alone_let_in_as_before() {
    let text = "http: {tls: {certificate: /c, key: /k, clientcas: [/a]}}\n";
    let plain = settings(&read(text));
    assert!(plain.contains(&("tls.client_certificates", "required".to_owned())), "{plain:?}");
    assert!(plain.contains(&("access.open", "write".to_owned())), "{plain:?}");
    let with_passwords = settings(&read(&format!("{text}auth: {{htpasswd: {{realm: r, path: /p}}}}\n")));
    assert!(with_passwords.contains(&("tls.client_certificates", "required".to_owned())), "{with_passwords:?}");
    assert!(!with_passwords.iter().any(|(path, _)| *path == "access.open"), "{with_passwords:?}");
    let optional = settings(&read("http: {tls: {clientcas: [/a], clientauth: verify-client-cert-if-given}}\n"));
    assert!(optional.contains(&("tls.client_certificates", "optional".to_owned())), "{optional:?}");
    assert!(!optional.iter().any(|(path, _)| *path == "access.open"), "{optional:?}");
}

#[test]
fn values_are_read_as_go_writes_them() {
    let cases = [
        (Reader::Duration, "1h30m", Ok(Some("1h30m"))),
        (Reader::Duration, "60000000000", Ok(Some("60000ms"))),
        (Reader::Duration, "0", Ok(None)),
        (Reader::Level, "warning", Ok(Some("warn"))),
        (Reader::Level, "loud", Err(())),
        (Reader::MinimumTls, "tls1.2", Ok(None)),
        (Reader::Platforms, "list", Err(())),
    ];
    for (reader, text, expected) in cases {
        let read = reader.read(text).map_err(drop);
        assert_eq!(read, expected.map(|found| found.map(str::to_owned)), "{text}");
    }
}

//! People of an LDAP directory, Debian's `slapd`: found by a search, proved by a bind, with their groups, and never in the clear.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::access::accounts::Accounts;
use crate::access::authority::Authority;
use crate::access::town::wait_for_greeting;
use crate::clients::case::Note;
use crate::harness::site::{Origin, Running, Site};
use crate::harness::trial::Trial;
use crate::harness::{Failure, Outcome};
use crate::{ensure, ensure_eq};

const PORT: u16 = 3890;
const SECURE_PORT: u16 = 6360;

const PEOPLE: &str = "\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: cn=search,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: search
userPassword: searchpw

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=dora,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: dora
cn: Dora
sn: D
mail: dora@example.org
userPassword: dorapassword

dn: uid=emil,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: emil
cn: Emil (E*)
sn: E
userPassword: emilpassword

dn: cn=ml,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: ml
member: uid=dora,ou=people,dc=example,dc=org
";

/// Bind, search, groups, StartTLS, `ldaps://`; and what does not get in.
pub fn people_and_groups(trial: &mut Trial<'_>, _: Origin) -> Outcome<Note> {
    let authority = Authority::new()?;
    let _slapd = start_slapd(trial, &authority)?;
    let data = trial.folder().join("registry-ldap");
    let accounts = Accounts::at(trial, &data)?;
    accounts.users(&[("root", "for root alone")])?;
    accounts.sh("larder group add ml && larder grant add group:ml pull,push 'team/**'")?;
    let scene = Scene { curl: trial.site(Origin::Apt)?, authority: trial.folder().join("ca.pem"), data };

    let larder = scene.serve(trial, &format!("ldap://localhost:{PORT}"), "true", true)?;
    let status = |user: &str, password: &str| scene.status(user, password);
    ensure_eq!(status("dora", "dorapassword")?, "200", "dora");
    ensure_eq!(status("emil", "emilpassword")?, "200", "emil, whose name has brackets and a star");
    for (user, password) in [
        ("dora", "emilpassword"),
        ("dora", ""),
        ("d*", "dorapassword"),
        ("dora)(uid=*", "dorapassword"),
        ("nobody", "x"),
        ("search", "searchpw"),
    ] {
        ensure_eq!(status(user, password)?, "401", "{user} with {password:?}");
    }
    accounts.sh("larder user show dora")?.says("dora@example.org")?;
    accounts.sh("larder grant explain dora team/ml-model")?.says("group:ml")?;
    pushes(trial, "dora", "dorapassword", "team/ml-model")?.says("sha256:")?;
    pushes(trial, "emil", "emilpassword", "emil/ml-model")?.says("sha256:")?;
    let refused = pushes(trial, "emil", "emilpassword", "team/other")?;
    ensure!(!refused.succeeded(), "emil pushes where his groups may not");
    accounts.sh("larder user set emil --disable")?;
    ensure_eq!(status("emil", "emilpassword")?, "401", "emil, who was disabled here");
    drop(larder);

    let by_tls = scene.serve(trial, &format!("ldaps://localhost:{SECURE_PORT}"), "true", true)?;
    ensure_eq!(scene.status("dora", "dorapassword")?, "200", "dora by ldaps://");
    drop(by_tls);
    let untrusted = scene.serve(trial, &format!("ldap://localhost:{PORT}"), "true", false)?;
    ensure_eq!(scene.status("dora", "dorapassword")?, "503", "a directory whose certificate nobody vouches for");
    drop(untrusted);
    let clear = scene.serve(trial, "ldap://directory.example.org", "false", true);
    ensure!(clear.is_err(), "passwords would travel in the clear");
    Ok(Some("StartTLS and ldaps://".to_owned()))
}

struct Scene {
    curl: Site,
    authority: PathBuf,
    data: PathBuf,
}

impl Scene {
    fn serve(&self, trial: &Trial<'_>, url: &str, start_tls: &str, trusts: bool) -> Outcome<Running> {
        let site = trial.larder()?;
        let site = if trusts { site.with("SSL_CERT_FILE", self.authority.display()) } else { site };
        let line = format!(
            "LARDER_DRAIN__DELAY=0s LARDER_DRAIN__TIMEOUT=1s LARDER_LDAP__URL={url} LARDER_LDAP__START_TLS={start_tls} \
             LARDER_LDAP__BIND_DN=cn=search,dc=example,dc=org LARDER_LDAP__BIND_PASSWORD=searchpw \
             LARDER_LDAP__USER_BASE=ou=people,dc=example,dc=org LARDER_LDAP__GROUP_BASE=ou=groups,dc=example,dc=org \
             exec larder serve --data {} --listen 127.0.0.1:5001",
            self.data.display()
        );
        let mut running = site.start(&line)?;
        wait_for_greeting(&mut running)?;
        Ok(running)
    }

    /// What `/v2/` answers to a name and a password.
    fn status(&self, user: &str, password: &str) -> Outcome<String> {
        let line = format!("curl -s -o /dev/null -w '%{{http_code}}' -u '{user}:{password}' http://localhost:5001/v2/");
        Ok(self.curl.sh(&line)?.text().to_owned())
    }
}

fn pushes(trial: &Trial<'_>, user: &str, password: &str, repository: &str) -> Outcome<crate::harness::site::Output> {
    let known = trial.lab.fixtures.small(trial.lab)?;
    let folder = trial.folder().join(format!("login-of-{user}"));
    let site = trial.site(Origin::Go)?.with("DOCKER_CONFIG", folder.display());
    site.sh(&format!("crane auth login localhost:5001 -u {user} -p {password}"))?;
    site.attempt(&format!("crane push {} localhost:5001/{repository}:1.0", known.archive.display()))
}

/// A directory of its own, in the trial's folder.
fn start_slapd(trial: &Trial<'_>, authority: &Authority) -> Outcome<Running> {
    let folder = trial.folder().join("slapd");
    std::fs::create_dir_all(folder.join("db"))?;
    authority.certify(&["localhost"])?.write(&folder)?;
    std::fs::write(trial.folder().join("ca.pem"), &authority.pem)?;
    std::fs::write(folder.join("slapd.conf"), configuration(&folder, &trial.folder().join("ca.pem")))?;
    std::fs::write(folder.join("people.ldif"), PEOPLE)?;
    let site = trial.site(Origin::Apt)?.at(&folder);
    site.sh("slapadd -q -f slapd.conf -l people.ldif")?;
    let mut running = site.start(&format!(
        "exec slapd -d 0 -f slapd.conf -h 'ldap://localhost:{PORT} ldaps://localhost:{SECURE_PORT}'"
    ))?;
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("localhost", SECURE_PORT)).is_err() {
        if !running.alive() || Instant::now() > deadline {
            return Err(Failure::new(format!("slapd does not answer\n{}", running.printed())));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(running)
}

fn configuration(folder: &Path, authority: &Path) -> String {
    let shown = folder.display();
    format!(
        "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
         include /etc/ldap/schema/inetorgperson.schema\npidfile {shown}/pid\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
         TLSCertificateFile {shown}/domain.crt\nTLSCertificateKeyFile {shown}/domain.key\nTLSCACertificateFile {}\n\
         # Nothing is said before StartTLS.\nsecurity simple_bind=128\n\
         database mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\nrootpw adminpw\n\
         directory {shown}/db\n\
         access to attrs=userPassword by anonymous auth by * none\n\
         access to * by dn.exact=\"cn=search,dc=example,dc=org\" read by self read by * none\n",
        authority.display()
    )
}

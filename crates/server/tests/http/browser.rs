//! A browser: it keeps cookies and fills in forms.

use std::sync::Mutex;

use http::Method;

use crate::access::fixture::password;
use crate::world::{Answer, Client};

/// What a browser says it sends.
pub const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Keeps cookies, and says where it stands.
pub struct Browser {
    pub client: Client,
    pub cookies: Mutex<Vec<(String, String)>>,
    pub host: &'static str,
}

impl Browser {
    pub fn new(client: Client) -> Self {
        Self { client, cookies: Mutex::default(), host: "localhost:5000" }
    }

    pub fn cookie(&self) -> String {
        let cookies = self.cookies.lock().expect("no panic under it");
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub fn kept(&self, name: &str) -> Option<String> {
        let cookies = self.cookies.lock().expect("no panic under it");
        cookies.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }

    pub fn keep(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().expect("no panic under it");
        for line in answer.all("set-cookie") {
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            cookies.retain(|(kept, _)| kept != name);
            if !value.is_empty() {
                cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    pub async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let cookie = self.cookie();
        let mut all = vec![("host", self.host), ("sec-fetch-site", "same-origin")];
        all.extend(headers);
        if !cookie.is_empty() {
            all.push(("cookie", &cookie));
        }
        let answer = self.client.call(method, path, &all, body).await;
        self.keep(&answer);
        answer
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[], String::new()).await
    }

    /// Opens a page.
    pub async fn open(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[("accept", "text/html")], String::new()).await
    }

    /// Sends the form of a page that goes to this path, with what was filled in; a field may be there more than once.
    pub async fn send(&self, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
        let all = text(page);
        let form = all.split("<form").skip(1).find(|form| {
            let tag = form.split('>').next().unwrap_or_default();
            tag.contains("method=\"post\"") && tag.contains(&format!("action=\"{path}\""))
        });
        let form = form.unwrap_or_else(|| panic!("no form goes to {path} in {all}"));
        let mut sent = hidden_in(form.split("</form").next().unwrap_or_default());
        sent.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        sent.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self.post(path, &sent).await
    }

    /// Sends fields, whatever page showed a form for them.
    pub async fn post(&self, path: &str, fields: &[(String, String)]) -> Answer {
        let form: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let origin = format!("http://{}", self.host);
        self.ask(Method::POST, path, &[FORM, ("origin", &origin), ("accept", "text/html")], form.join("&")).await
    }

    /// Goes where an answer sends it, and reads what the page there says first.
    pub async fn follow(&self, answer: &Answer) -> Answer {
        answer.expect(303);
        self.open(answer.header("location")).await
    }

    /// Fills in the form of a page and sends it.
    pub async fn submit(&self, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = hidden(page);
        form.retain(|(name, _)| !fields.iter().any(|(given, _)| given == name));
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let form: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let origin = format!("http://{}", self.host);
        self.ask(Method::POST, path, &[FORM, ("origin", &origin)], form.join("&")).await
    }

    pub async fn sign_in(&self, user: &str) -> Answer {
        let page = self.get("/login").await;
        self.submit(&page, "/login", &[("user", user), ("password", &password(user))]).await
    }
}

pub fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

pub fn hidden(page: &Answer) -> Vec<(String, String)> {
    hidden_in(&text(page))
}

fn hidden_in(page: &str) -> Vec<(String, String)> {
    let fields = page.split("<input type=\"hidden\" name=\"").skip(1);
    fields
        .map(|field| {
            let (name, rest) = field.split_once("\" value=\"").expect("a field has a value");
            (name.to_owned(), rest.split('"').next().unwrap_or_default().to_owned())
        })
        .collect()
}

pub fn encode(value: &str) -> String {
    value
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

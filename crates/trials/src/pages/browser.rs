//! Chromium, driven through WebDriver: the protocol in as much as the trials need of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{During, Failure, Outcome};
use crate::raw::larder::free_port;

/// How long something may take to show on a page.
const PATIENCE: Duration = Duration::from_secs(15);
/// The key of an element's reference (WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; it ends with its guard.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    http: reqwest::Client,
    runtime: Runtime,
}

/// What a window looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// `light` or `dark`.
    pub scheme: &'static str,
    /// In pixels.
    pub width: u32,
}

impl Browser {
    /// Starts one.
    pub fn start() -> Outcome<Self> {
        let port = free_port()?;
        let mut command = Command::new("chromedriver");
        command.arg(format!("--port={port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let driver = command.spawn().during(|| "cannot run chromedriver (see .ci/install)".to_owned())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build()?;
        let mut browser = Self { driver, session: format!("http://127.0.0.1:{port}"), http, runtime };
        browser.open_session()?;
        Ok(browser)
    }

    fn open_session(&mut self) -> Outcome {
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let deadline = Instant::now() + PATIENCE;
        let id = loop {
            match self.ask(Method::POST, "/session", Some(&capabilities)) {
                Ok(value) => break value["sessionId"].as_str().unwrap_or_default().to_owned(),
                Err(failure) if Instant::now() > deadline => return Err(failure),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        self.session = format!("{}/session/{id}", self.session);
        Ok(())
    }

    /// Gives the window a look, and every request this credential, if any; nobody is signed in, and what the browser kept is forgotten.
    pub fn become_visitor(&self, look: Look, authorization: Option<&str>) -> Outcome {
        self.devtools("Network.clearBrowserCookies", &json!({}))?;
        let scheme = json!({ "features": [{ "name": "prefers-color-scheme", "value": look.scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &scheme)?;
        let size = json!({ "width": look.width, "height": 900, "deviceScaleFactor": 1, "mobile": look.width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
        let headers = authorization.map_or_else(|| json!({}), |value| json!({ "Authorization": value }));
        self.devtools("Network.enable", &json!({}))?;
        self.devtools("Network.clearBrowserCookies", &json!({}))?;
        self.devtools("Network.setExtraHTTPHeaders", &json!({ "headers": headers })).map(drop)
    }

    /// Lets pages run their script, or not.
    pub fn let_script_run(&self, runs: bool) -> Outcome {
        self.devtools("Emulation.setScriptExecutionDisabled", &json!({ "value": !runs })).map(drop)
    }

    /// Goes to an address.
    pub fn open(&self, url: &str) -> Outcome {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    /// What a function's body gives in the page.
    pub fn run(&self, body: &str) -> Outcome<Value> {
        self.post("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The same for a body that calls the last of its arguments when it is ready.
    pub fn run_until_called(&self, body: &str) -> Outcome<Value> {
        self.post("/execute/async", &json!({ "script": body, "args": [] }))
    }

    /// Clicks what a selector finds first.
    pub fn click(&self, selector: &str) -> Outcome {
        let element = self.find(selector)?;
        self.post(&format!("/element/{element}/click"), &json!({})).map(drop)
    }

    /// Types into what a selector finds first.
    pub fn type_into(&self, selector: &str, text: &str) -> Outcome {
        let element = self.find(selector)?;
        self.post(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// Types into what a selector finds first, in place of what stands there.
    pub fn write_into(&self, selector: &str, text: &str) -> Outcome {
        let element = self.find(selector)?;
        self.post(&format!("/element/{element}/clear"), &json!({}))?;
        self.post(&format!("/element/{element}/value"), &json!({ "text": text })).map(drop)
    }

    /// Presses and releases a key, wherever the focus is.
    pub fn press(&self, key: char) -> Outcome {
        let keys = json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": keys }] })).map(drop)
    }

    /// The whole page's text.
    pub fn text(&self) -> Outcome<String> {
        let element = self.find("body")?;
        let text = self.ask(Method::GET, &format!("/element/{element}/text"), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the page says something.
    pub fn wait_for(&self, words: &str) -> Outcome {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // A page on its way to another one has no text.
            let text = self.text().unwrap_or_default();
            if text.contains(words) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!("the page does not say {words:?}:\n{text}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the console got since it was asked last, but for what only informs.
    pub fn complaints(&self) -> Outcome<Vec<String>> {
        let log = self.post("/se/log", &json!({ "type": "browser" }))?;
        let entries = log.as_array().into_iter().flatten();
        let severe = entries.filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")));
        Ok(severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect())
    }

    /// Writes a picture of the whole page, as high as it is.
    pub fn picture(&self, file: &Path) -> Outcome {
        let size = &self.devtools("Page.getLayoutMetrics", &json!({}))?["cssContentSize"];
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let shot = self.devtools("Page.captureScreenshot", &json!({ "captureBeyondViewport": true, "clip": clip }))?;
        std::fs::write(file, BASE64_STANDARD.decode(shot["data"].as_str().unwrap_or_default())?)?;
        Ok(())
    }

    fn find(&self, selector: &str) -> Outcome<String> {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }))?;
        Ok(found[ELEMENT].as_str().unwrap_or_default().to_owned())
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Outcome<Value> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn post(&self, path: &str, body: &Value) -> Outcome<Value> {
        self.ask(Method::POST, path, Some(body))
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome<Value> {
        let mut request = self.http.request(method, format!("{}{path}", self.session));
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer: Value = self.runtime.block_on(async { request.send().await?.json().await })?;
        let value = &answer["value"];
        match value["error"].as_str() {
            Some(error) => Err(Failure::new(format!("{path}: {error}: {}", value["message"]))),
            None => Ok(value.clone()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask(Method::DELETE, "", None);
        // Nothing more can be done about a process that cannot be killed.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

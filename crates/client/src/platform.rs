//! Choosing one platform of a multi-platform index: `linux/arm64`, `linux/arm/v7`.

use std::fmt;
use std::str::FromStr;

use larder_oci::descriptor::Descriptor;

/// `os/architecture[/variant]` as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformFilter {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl PlatformFilter {
    /// Whether an entry of an index is for this platform. Without a variant every variant fits, but for `arm64`, where none and
    /// `v8` mean the same.
    pub fn fits(&self, entry: &Descriptor) -> bool {
        let Some(platform) = &entry.platform else { return false };
        if platform.os != self.os || platform.architecture != self.architecture {
            return false;
        }
        match (self.variant.as_deref(), platform.variant.as_deref()) {
            (None, _) => true,
            (Some(asked), Some(there)) => asked == there,
            (Some(asked), None) => self.architecture == "arm64" && asked == "v8",
        }
    }
}

impl FromStr for PlatformFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let well_formed = parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic()));
        match (well_formed, parts.as_slice()) {
            (true, [os, architecture]) => {
                Ok(Self { os: (*os).into(), architecture: (*architecture).into(), variant: None })
            }
            (true, [os, architecture, variant]) => {
                Ok(Self { os: (*os).into(), architecture: (*architecture).into(), variant: Some((*variant).into()) })
            }
            _ => Err(format!(
                "`{text}` is no platform: write os/architecture or os/architecture/variant, for example linux/amd64"
            )),
        }
    }
}

impl fmt::Display for PlatformFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

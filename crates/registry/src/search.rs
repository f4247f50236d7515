//! Searching: what somebody types, and what of his it could mean.
//!
//! Words are sought in the names of repositories. The last of them may also be the beginning of a tag, of a digest, or of what an image says about itself;
//! the others then stand in the repository's name. `tag:`, `digest:` and `label:` before a word say which is meant.

pub use larder_catalog::model::FoundImage;
use larder_catalog::model::{FoundImages, ImageSearch, Sought};
use larder_oci::{Algorithm, Digest};

use crate::{Actor, Error, PageRequest, Registry, RepositoryOutline, RepositorySearch, Result};

/// Words that count.
const WORDS: usize = 8;
/// Digits of a digest that have to be known.
const DIGITS: usize = 4;

/// What is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The names of repositories.
    Name,
    /// Tags.
    Tag,
    /// The digests of manifests.
    Digest,
    /// Labels and annotations.
    Label,
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A repository, by its name.
    Repository(RepositoryOutline),
    /// An image.
    Image(Field, FoundImage),
}

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundPage {
    /// At most the limit that was asked for; fewer where much that does not fit lies between.
    pub items: Vec<Found>,
    /// Where to go on, while not everything was looked at.
    pub next: Option<String>,
}

impl Field {
    /// All of them, in the order in which they are searched.
    pub const ALL: [Self; 4] = [Self::Name, Self::Tag, Self::Digest, Self::Label];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tag => "tag",
            Self::Digest => "digest",
            Self::Label => "label",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }
}

impl Registry {
    /// What the actor may see of what a search finds: in one field, or in all of them one after the other.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] for somebody who may list nothing at all.
    pub async fn find(
        &self,
        actor: &Actor,
        wanted: &str,
        field: Option<Field>,
        page: &PageRequest,
    ) -> Result<FoundPage> {
        // Where a page of all fields ends is told with its field.
        let stands = page.after.as_deref().and_then(|after| after.split_once(':'));
        let (first, after) = match (field, stands) {
            (Some(field), _) => (field, page.after.clone()),
            (None, Some((name, after))) => match Field::named(name) {
                Some(field) => (field, Some(after.to_owned()).filter(|after| !after.is_empty())),
                None => (Field::Name, None),
            },
            (None, None) => (Field::Name, None),
        };
        let mut within = PageRequest { limit: page.limit, after };
        let mut found = FoundPage::default();
        for here in Field::ALL.into_iter().skip_while(|here| *here != first) {
            let FoundPage { items, next } = self.find_in(actor, wanted, here, &within).await?;
            found.items.extend(items);
            if field.is_some() {
                found.next = next;
                return Ok(found);
            }
            if let Some(next) = next {
                found.next = Some(format!("{}:{next}", here.as_str()));
                return Ok(found);
            }
            within = PageRequest { limit: page.limit - found.items.len(), after: None };
            if within.limit == 0 {
                let later = Field::ALL.into_iter().skip_while(|later| *later != here).nth(1);
                found.next = later.map(|later| format!("{}:", later.as_str()));
                return Ok(found);
            }
        }
        Ok(found)
    }

    async fn find_in(&self, actor: &Actor, wanted: &str, field: Field, page: &PageRequest) -> Result<FoundPage> {
        self.serves_clients()?;
        let words: Vec<&str> = wanted.split_whitespace().take(WORDS).collect();
        if field == Field::Name {
            // A word that says what it is stands in no name.
            if words.iter().any(|word| meant(word).0.is_some()) {
                return Ok(FoundPage::default());
            }
            let words = words.iter().map(|word| word.to_lowercase()).collect();
            let found = self.search(actor, RepositorySearch { words, public: None }, page).await?;
            return Ok(FoundPage { items: found.items.into_iter().map(Found::Repository).collect(), next: found.next });
        }
        let filter = actor.filter().ok_or(Error::Denied)?;
        let Some(search) = images(&words, field) else { return Ok(FoundPage::default()) };
        let after = page.after.as_deref();
        let FoundImages { items, next } = self.inner.catalog.search_images(&filter, search, after, page.limit).await?;
        Ok(FoundPage { items: items.into_iter().map(|image| Found::Image(field, image)).collect(), next })
    }
}

/// A word, and what it says that it is.
fn meant(word: &str) -> (Option<Field>, &str) {
    if word.starts_with("sha256:") || word.starts_with("sha512:") {
        return (Some(Field::Digest), word);
    }
    let said = word.split_once(':').and_then(|(name, rest)| Some((Field::named(name)?, rest)));
    match said {
        Some((field, rest)) if field != Field::Name && !rest.is_empty() => (Some(field), rest),
        _ => (None, word),
    }
}

/// What the words mean for a field of images; nothing where they can mean nothing.
fn images(words: &[&str], field: Field) -> Option<ImageSearch> {
    let said = words.iter().position(|word| meant(word).0.is_some());
    let place = said.or_else(|| words.len().checked_sub(1))?;
    let (says, word) = meant(words[place]);
    if says.is_some_and(|says| says != field) {
        return None;
    }
    let sought = match field {
        Field::Name => return None,
        Field::Tag => Sought::Tag(beginning_of_a_tag(word)?),
        Field::Digest => beginning_of_a_digest(word)?,
        Field::Label => label(word)?,
    };
    let others = words.iter().enumerate().filter(|(at, _)| *at != place);
    Some(ImageSearch { words: others.map(|(_, word)| word.to_lowercase()).collect(), sought })
}

fn beginning_of_a_tag(word: &str) -> Option<String> {
    let is_tag = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (word.len() <= 128 && word.bytes().all(is_tag)).then(|| word.to_owned())
}

/// The first and the last digest that begin so.
fn beginning_of_a_digest(word: &str) -> Option<Sought> {
    let (algorithm, hex) = match word.split_once(':') {
        Some(("sha256", hex)) => (Algorithm::Sha256, hex),
        Some(("sha512", hex)) => (Algorithm::Sha512, hex),
        Some(_) => return None,
        None => (Algorithm::Sha256, word),
    };
    let whole = match algorithm {
        Algorithm::Sha256 => 64,
        Algorithm::Sha512 => 128,
    };
    if !(DIGITS..=whole).contains(&hex.len()) || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let filled = |digit: &str| -> Option<Digest> {
        let rest = digit.repeat(whole - hex.len());
        format!("{algorithm}:{}{rest}", hex.to_ascii_lowercase()).parse().ok()
    };
    Some(Sought::Digest(filled("0")?, filled("f")?))
}

fn label(word: &str) -> Option<Sought> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => (Some(name.to_owned()), value),
        _ => (None, word),
    };
    (!value.is_empty()).then(|| Sought::Said { name, value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(words: &str, field: Field) -> Option<(String, Sought)> {
        let words: Vec<&str> = words.split_whitespace().collect();
        images(&words, field).map(|search| (search.words.join(" "), search.sought))
    }

    #[test]
    fn the_last_word_is_sought_and_the_others_stand_in_the_name() {
        let tag = |text: &str| Sought::Tag(text.to_owned());
        assert_eq!(sought("Team churn 1.0", Field::Tag), Some(("team churn".to_owned(), tag("1.0"))));
        assert_eq!(sought("tag:1.0 churn", Field::Tag), Some(("churn".to_owned(), tag("1.0"))));
        assert_eq!(sought("label:x=1 1.0", Field::Tag), None);
        assert_eq!(sought("team/churn", Field::Tag), None, "no tag begins so");
        assert_eq!(sought("", Field::Tag), None);
        let said =
            |name: Option<&str>, value: &str| Sought::Said { name: name.map(str::to_owned), value: value.to_owned() };
        assert_eq!(sought("5f1d", Field::Label), Some((String::new(), said(None, "5f1d"))));
        assert_eq!(sought("label:team=growth", Field::Label), Some((String::new(), said(Some("team"), "growth"))));
        assert_eq!(sought("team=", Field::Label), None);
    }

    #[test]
    fn a_digest_is_known_by_its_first_digits() {
        let range = |word: &str| match sought(word, Field::Digest)?.1 {
            Sought::Digest(first, last) => Some((first.to_string(), last.to_string())),
            _ => None,
        };
        let (first, last) = range("5A1d2").expect("a range");
        assert!(first.starts_with("sha256:5a1d20000") && last.starts_with("sha256:5a1d2fff"), "{first} {last}");
        assert_eq!(range("sha256:5a1d2"), range("digest:5a1d2"));
        assert!(range("sha512:abcd").expect("a range").1.starts_with("sha512:abcdff"));
        for not in ["5a1", "xyzw", "md5:abcd", "sha256:", &"a".repeat(65)] {
            assert_eq!(range(not), None, "{not}");
        }
    }
}

//! So many at a time for each key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Who is inside. Nobody is remembered who is not, so there are at most as many keys as requests.
pub(super) struct Places {
    most: u64,
    taken: Mutex<HashMap<String, u64>>,
}

/// One place, until it is dropped.
pub(crate) struct Place {
    key: String,
    places: Arc<Places>,
}

impl Places {
    /// With so many for each key.
    pub fn new(most: u64) -> Self {
        Self { most, taken: Mutex::default() }
    }

    /// Takes a place, if one is free.
    pub fn enter(self: &Arc<Self>, key: String) -> Option<Place> {
        let mut taken = self.taken.lock().expect("no panic happens under this lock");
        let count = taken.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { key, places: Arc::clone(self) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().expect("no panic happens under this lock");
        if let Some(count) = taken.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let places = Arc::new(Places::new(2));
        let (first, second) = (places.enter("a".to_owned()), places.enter("a".to_owned()));
        assert!(first.is_some() && second.is_some());
        assert!(places.enter("a".to_owned()).is_none());
        assert!(places.enter("b".to_owned()).is_some());
        drop(first);
        assert!(places.enter("a".to_owned()).is_some());
        drop(second);
        assert!(places.taken.lock().expect("no panic").is_empty());
    }
}

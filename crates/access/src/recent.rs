//! A map that forgets: bounded, in two generations.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

/// Keeps at least the newest half of its capacity and at most all of it (**Invariant 9**). What is looked up moves to the young generation;
/// when that is full it becomes the old one, and the old one goes. No list to maintain, no clock to ask.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash + Clone, V> Recent<K, V> {
    /// An empty one that holds at most `capacity`.
    pub(crate) fn holding(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: capacity.div_ceil(2).max(1) }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if !self.young.contains_key(key)
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

/// Answers that hold while nothing changes: each with the state that it came from, and worth nothing in another.
#[derive(Debug)]
pub(crate) struct Kept<S, K, V>(Mutex<Recent<K, (S, V)>>);

impl<S: PartialEq, K: Eq + Hash + Clone, V: Clone> Kept<S, K, V> {
    /// An empty one that holds at most `capacity`.
    pub(crate) fn holding(capacity: usize) -> Self {
        Self(Mutex::new(Recent::holding(capacity)))
    }

    /// The answer that came from this state.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q, state: &S) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut kept = self.0.lock().expect("no panic happens under this lock");
        kept.get(key).filter(|(at, _)| at == state).map(|(_, value)| value.clone())
    }

    /// Keeps an answer. The state was read before what the answer came from.
    pub(crate) fn put(&self, key: K, state: S, value: V) {
        self.0.lock().expect("no panic happens under this lock").insert(key, (state, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Invariant 9: what callers make it remember is bounded.
    #[test]
    fn the_newest_stay_and_the_rest_goes() {
        let mut map = Recent::holding(100);
        for n in 0..10_000 {
            map.insert(n, n);
            assert!(map.len() <= 100);
        }
        assert_eq!((9_950..10_000).filter(|n| map.get(n).is_some()).count(), 50);
        assert!(map.get(&0).is_none());
    }

    #[test]
    fn what_is_used_stays() {
        let mut map = Recent::holding(10);
        map.insert(-1, "kept");
        for n in 0..1_000 {
            map.insert(n, "passing");
            assert_eq!(map.get(&-1), Some(&mut "kept"));
        }
        assert_eq!(map.remove(&-1), Some("kept"));
        assert!(map.get(&-1).is_none());
    }
}

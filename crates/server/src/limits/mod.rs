//! How much one identity and one address may: requests and bytes a second, uploads at a time.
//!
//! Nothing here knows who may do what. Whoever owns the data folder has no limit, nor has a peer without an address.

mod paced;
mod places;
mod rates;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use larder_access::Caller;

use crate::authentication::Visitor;
use crate::config::Allowance;

pub(crate) use self::paced::Toll;
use self::places::{Place, Places};
use self::rates::Rates;

/// How much of a limit on requests may come at once: the push of an image of many layers begins with a burst.
const BURST_OF_REQUESTS: Duration = Duration::from_secs(10);
/// The same of a limit on bytes.
const BURST_OF_BYTES: Duration = Duration::from_secs(1);
/// When somebody with too many uploads under way may look again.
const UPLOAD_WAIT: Duration = Duration::from_secs(1);

/// What was too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooMuch {
    /// When there is room again.
    pub wait: Duration,
    /// The sentence for people.
    pub message: &'static str,
}

/// Holds everybody to the limits.
pub(crate) struct Limiter {
    identity: Kind,
    address: Kind,
}

/// The limits of one kind, and who has used how much of them.
struct Kind {
    requests: Option<Rates>,
    uploads: Option<Arc<Places>>,
    bytes: Option<Arc<Rates>>,
}

impl Kind {
    fn new(allowance: Allowance) -> Self {
        Self {
            requests: allowance.requests.map(|rate| Rates::new(rate, BURST_OF_REQUESTS)),
            uploads: allowance.uploads.map(|most| Arc::new(Places::new(most))),
            bytes: allowance.bytes.map(|rate| Arc::new(Rates::new(rate, BURST_OF_BYTES))),
        }
    }

    fn request(&self, key: impl FnOnce() -> Option<String>) -> Result<(), TooMuch> {
        let Some(rates) = &self.requests else { return Ok(()) };
        let Some(key) = key() else { return Ok(()) };
        rates.take(&key, 1).map_err(|wait| TooMuch { wait, message: "too many requests" })
    }

    fn upload(&self, key: impl FnOnce() -> Option<String>) -> Result<Option<Place>, TooMuch> {
        let Some(places) = &self.uploads else { return Ok(None) };
        let Some(key) = key() else { return Ok(None) };
        let taken = TooMuch { wait: UPLOAD_WAIT, message: "too many uploads at a time" };
        places.enter(key).map(Some).ok_or(taken)
    }

    fn bytes(&self, key: impl FnOnce() -> Option<String>) -> Option<(Arc<Rates>, String)> {
        let rates = self.bytes.as_ref()?;
        Some((Arc::clone(rates), key()?))
    }
}

impl Limiter {
    /// With these limits.
    pub fn new(identity: Allowance, address: Allowance) -> Self {
        Self { identity: Kind::new(identity), address: Kind::new(address) }
    }

    /// Counts a request from this address, before anything is looked up for it.
    pub fn request_from(&self, address: Option<IpAddr>) -> Result<(), TooMuch> {
        self.address.request(|| address.map(network))
    }

    /// Counts a request of somebody known.
    pub fn request_of(&self, caller: Option<&Caller>) -> Result<(), TooMuch> {
        self.identity.request(|| identity(caller))
    }

    /// Takes a place for an upload, until what is answered is dropped.
    pub fn upload(&self, visitor: &Visitor) -> Result<[Option<Place>; 2], TooMuch> {
        let own = self.identity.upload(|| identity(visitor.caller.as_deref()))?;
        Ok([own, self.address.upload(|| visitor.address.map(network))?])
    }

    /// What this visitor's bytes are counted against.
    pub fn toll(&self, visitor: &Visitor) -> Toll {
        let own = self.identity.bytes(|| identity(visitor.caller.as_deref()));
        Toll::of([own, self.address.bytes(|| visitor.address.map(network))].into_iter().flatten().collect())
    }
}

fn identity(caller: Option<&Caller>) -> Option<String> {
    caller.filter(|caller| caller.is_known()).map(|caller| caller.identity.clone())
}

/// One customer has a whole /64 of IPv6.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let network = |text: &str| super::network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn without_limits_nothing_is_counted() {
        let limiter = Limiter::new(Allowance::default(), Allowance::default());
        for _ in 0..1_000 {
            assert_eq!(limiter.request_from("192.0.2.1".parse().ok()), Ok(()));
        }
    }
}

//! Manifests of the tree.

use std::sync::Arc;

use larder_oci::RepositoryName;

use super::ImportedManifest;
use crate::engine::{Kind, Tx};
use crate::model::{PutManifest, Stamp};
use crate::push;
use crate::{Catalog, Result};

impl Catalog {
    /// Makes a repository if it is absent, whether anything is in it or not. Answers whether it was.
    pub async fn import_repository(&self, repository: &RepositoryName, stamp: Stamp) -> Result<bool> {
        self.create_repository(repository, stamp).await
    }

    /// Stores manifests that another registry took, in this order: absent targets and false sizes mark a manifest incomplete and are answered, its
    /// condition and what it says about sparse pushes do not count. One transaction for all on SQLite; one for each on PostgreSQL, whose locks are
    /// taken in order.
    pub async fn import_manifests(&self, manifests: Vec<PutManifest>) -> Result<Vec<ImportedManifest>> {
        let manifests = Arc::new(manifests);
        if !self.engine().is_postgres {
            let work = move |tx: &mut Tx<'_>| manifests.iter().map(|manifest| push::take_over(tx, manifest)).collect();
            return self.engine().write(Kind::Grow, work).await;
        }
        let mut imported = Vec::with_capacity(manifests.len());
        for index in 0..manifests.len() {
            let manifests = Arc::clone(&manifests);
            let work = move |tx: &mut Tx<'_>| push::take_over(tx, &manifests[index]);
            imported.push(self.engine().write(Kind::Grow, work).await?);
        }
        Ok(imported)
    }
}

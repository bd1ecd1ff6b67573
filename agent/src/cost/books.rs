//! Bills and prices in memory: the decoded documents of the region's bucket.

use super::{
    advice::Advice,
    archive::{Archive, ArchiveError, Kind, Slot, sort},
};
use regionmesh_cost::{
    AppliedPrices, Ledger, LiveMeter, Price, PriceTable, PriceTableError, Prices, StoredPart,
};
use regionmesh_protocol::models::{catalogue::Catalogue, digest::Digest, manifest::VersionSummary};
use std::{collections::BTreeMap, sync::Arc};

/// Longest gap between two observations that counts as cost, milliseconds: twelve of the actor's
/// intervals.
pub(crate) const LIVE_GAP_MS: u64 = 60_000;

/// Why prices could not be added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportPricesError {
    /// The bucket failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// They conflict with existing prices.
    #[error(transparent)]
    Table(#[from] PriceTableError),
}

/// A document, decoded.
#[derive(Debug, Clone)]
enum Document {
    Bill(Arc<StoredPart>),
    Use(Arc<LiveMeter>),
    Prices(Arc<PriceTable>),
    Advice(Arc<Advice>),
}

/// The documents, as of the last refresh.
#[derive(Debug, Clone, Default)]
pub struct Books {
    documents: BTreeMap<Slot, (Digest, Document)>,
    pub ledger: Ledger,
    /// Imported and built-in prices.
    pub prices: Prices,
    /// Use in past months, newest last.
    pub usage: Vec<Arc<LiveMeter>>,
    /// Earlier recommendations.
    pub advice: Arc<Advice>,
    /// Unreadable documents, and why.
    pub unreadable: Vec<String>,
}

impl Books {
    /// The documents in the catalogue; unchanged ones are not read again.
    pub async fn refreshed(self: Arc<Self>, archive: &Archive, catalogue: &Catalogue) -> Arc<Self> {
        let (newest, _) = sort(catalogue);
        let mut documents = BTreeMap::new();
        let mut unreadable = Vec::new();

        for (slot, held) in newest {
            let known = self
                .documents
                .get(&slot)
                .filter(|(content, _)| *content == held.content);
            let document = match known {
                Some((_, document)) => Ok(document.clone()),
                None => read(archive, slot.kind, held).await,
            };

            match document {
                Ok(document) => drop(documents.insert(slot, (held.content, document))),
                Err(why) => {
                    unreadable.push(format!("{}@{}: {why}", held.model, held.version));
                    // The previous document stays in use until the new one can be read.
                    if let Some(before) = self.documents.get(&slot) {
                        documents.insert(slot, before.clone());
                    }
                }
            }
        }

        Arc::new(Self::of(documents, unreadable))
    }

    fn of(documents: BTreeMap<Slot, (Digest, Document)>, unreadable: Vec<String>) -> Self {
        let mut ledger = Ledger::default();
        let mut imported = PriceTable::default();
        let mut usage = Vec::new();
        let mut advice = Arc::default();

        for (_, document) in documents.values() {
            match document {
                Document::Bill(part) => drop(ledger.insert(part.clone())),
                Document::Use(meter) => usage.push(meter.clone()),
                Document::Prices(table) => imported.merge((**table).clone()),
                Document::Advice(made) => advice = made.clone(),
            }
        }

        Self {
            documents,
            ledger,
            prices: Prices::new(imported),
            usage,
            advice,
            unreadable,
        }
    }
}

/// Adds prices to those in the bucket. Each import is a separate document until the next one merges
/// it, so concurrent imports at several agents all count.
pub(crate) async fn import_prices(
    archive: &Archive,
    prices: Vec<Price>,
    is_replacing: bool,
    dry_run: bool,
    by: &str,
    file: String,
) -> Result<AppliedPrices, ImportPricesError> {
    let catalogue = archive
        .store
        .catalogue()
        .await
        .map_err(ArchiveError::from)?;
    let held: Vec<&VersionSummary> = sort(&catalogue)
        .0
        .into_iter()
        .filter(|(slot, _)| slot.kind == Kind::Prices)
        .map(|(_, held)| held)
        .collect();

    let mut all = PriceTable::default();
    for held in &held {
        let bytes = archive.read(held).await?;
        let table = PriceTable::decode(&bytes).map_err(|error| ArchiveError::Unreadable {
            model: held.model.clone(),
            version: held.version.clone(),
            why: error.to_string(),
        })?;

        all.merge(table);
    }

    let applied = all.apply(prices, is_replacing)?;
    if dry_run || applied.added + applied.replaced == 0 {
        return Ok(applied);
    }
    archive
        .put(
            &Slot::apart(Kind::Prices),
            by,
            vec![("file".to_owned(), file)],
            all.encode()?,
        )
        .await?;

    for held in held {
        archive.remove(held).await?;
    }
    Ok(applied)
}

async fn read(archive: &Archive, kind: Kind, held: &VersionSummary) -> Result<Document, String> {
    let bytes = archive
        .read(held)
        .await
        .map_err(|error| error.to_string())?;

    // Decoding a large bill takes a while.
    let decoded = tokio::task::spawn_blocking(move || match kind {
        Kind::Bill => StoredPart::decode(&bytes)
            .map(|part| Document::Bill(Arc::new(part)))
            .map_err(|e| e.to_string()),
        Kind::Use => LiveMeter::decode(&bytes, LIVE_GAP_MS)
            .map(|meter| Document::Use(Arc::new(meter)))
            .map_err(|e| e.to_string()),
        Kind::Prices => PriceTable::decode(&bytes)
            .map(|table| Document::Prices(Arc::new(table)))
            .map_err(|e| e.to_string()),
        Kind::Advice => Advice::decode(&bytes)
            .map(|made| Document::Advice(Arc::new(made)))
            .map_err(|e| e.to_string()),
    });

    decoded.await.map_err(|error| error.to_string())?
}

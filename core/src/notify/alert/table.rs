//! The table of alerts: every condition that the mesh itself raises, with its one name and its one
//! severity.
//!
//! The change detector takes both from this table. Prometheus' rules for the same conditions
//! (`monitoring/prometheus/rules/raised.yml`) and the table in docs/reference/alerts.md are
//! generated from it (`regionmesh docs`), and a check fails where they differ.

use regionmesh_protocol::{event::Severity, status::problem::ProblemKind};
use strum::{AsRefStr, VariantArray};

/// A condition that the mesh raises an alert for, apart from the problems of single agents
/// ([`ProblemKind`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, VariantArray, AsRefStr)]
pub(crate) enum MeshAlert {
    /// The verdict on a region is failed.
    RegionFailed,
    /// No agent leads.
    NoLeader,
    /// The verdict on every region is failed.
    AllRegionsFailed,
    /// An order has no effect, because users would be left on a region that can't serve.
    OrderYielded,
    /// The healthy regions have no capacity for all of the load.
    CapacityShort,
    /// A region was sent back on its ramp.
    RampRolledBack,
    /// The leader may not write a zone.
    FenceLost,
    /// Records of a zone were changed outside the mesh.
    ZoneDrift,
    /// Two regions published different content under one name.
    ModelConflict,
    /// A certificate should have been renewed.
    CertificateExpiring,
    /// A certificate is about to expire.
    CertificateExpiryImminent,
    /// A budget's threshold was crossed.
    BudgetCrossed,
    /// Spending left its usual range.
    CostAnomaly,
    /// Billing data are late or can't be read.
    CostDataLate,
}

/// The name and the severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlertIdentity {
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
}

impl From<MeshAlert> for AlertIdentity {
    fn from(alert: MeshAlert) -> Self {
        let AlertRow { name, severity, .. } = alert.row();
        Self { name, severity }
    }
}

impl From<ProblemKind> for AlertIdentity {
    fn from(kind: ProblemKind) -> Self {
        Self {
            name: kind.alert_name(),
            severity: kind.severity(),
        }
    }
}

/// Which agents know of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// Every agent concludes it from what all of them know: Prometheus believes a majority.
    Every,
    /// One agent reports it: Prometheus believes any.
    One,
}

/// The fixed properties of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertRow {
    pub name: &'static str,
    /// How urgent it is.
    pub severity: Severity,
    /// Labels other than `alertname`, `mesh` and `severity`.
    pub labels: &'static [&'static str],
    /// When it begins.
    pub begins: &'static str,
    /// When it ends.
    pub ends: &'static str,
    /// Which agents know of it.
    pub known_by: KnownBy,
    /// The condition in one clause.
    pub summary: &'static str,
    /// The section of docs/how-to/troubleshoot.md that says what to do.
    pub runbook: &'static str,
}

impl MeshAlert {
    /// Every alert.
    pub(crate) const ALL: &'static [Self] = Self::VARIANTS;

    pub(crate) const fn name(self) -> &'static str {
        self.row().name
    }

    /// Its row of the table.
    pub(crate) const fn row(self) -> AlertRow {
        MESH_ROWS[self as usize]
    }
}

/// The rows of [`MeshAlert`], in its order.
const MESH_ROWS: [AlertRow; 14] = [
    AlertRow {
        name: "RegionMeshRegionFailed",
        severity: Severity::Critical,
        labels: &["region"],
        begins: "the verdict on a region is failed",
        ends: "the verdict is healthy or draining",
        known_by: KnownBy::Every,
        summary: "a region does not serve",
        runbook: "a-region-failed",
    },
    AlertRow {
        name: "RegionMeshNoLeader",
        severity: Severity::Critical,
        labels: &[],
        begins: "no agent has led for 10 s",
        ends: "an agent leads",
        known_by: KnownBy::Every,
        summary: "no agent leads, so the plan can't change",
        runbook: "no-leader-no-majority",
    },
    AlertRow {
        name: "RegionMeshAllRegionsFailed",
        severity: Severity::Critical,
        labels: &[],
        begins: "the verdict on every region is failed",
        ends: "the verdict on a region is not failed",
        known_by: KnownBy::Every,
        summary: "no region serves: the last shares stay",
        runbook: "traffic-is-not-where-it-should-be",
    },
    AlertRow {
        name: "RegionMeshOrderYielded",
        severity: Severity::Warning,
        labels: &["order", "region"],
        begins: "a plan in which an order yields",
        ends: "a plan in which it does not",
        known_by: KnownBy::Every,
        summary: "an order has no effect because users would be left on a failed region",
        runbook: "traffic-is-not-where-it-should-be",
    },
    AlertRow {
        name: "RegionMeshCapacityShort",
        severity: Severity::Warning,
        labels: &[],
        begins: "a plan can't move all of the load",
        ends: "a plan moves all of it",
        known_by: KnownBy::Every,
        summary: "the healthy regions have no room for all of the load",
        runbook: "traffic-is-not-where-it-should-be",
    },
    AlertRow {
        name: "RegionMeshRampRolledBack",
        severity: Severity::Warning,
        labels: &["region"],
        begins: "a region is sent back on its ramp",
        ends: "its next step forward, or it serves",
        known_by: KnownBy::Every,
        summary: "a region was sent back on its ramp",
        runbook: "recovery-is-stuck",
    },
    AlertRow {
        name: "RegionMeshFenceLost",
        severity: Severity::Warning,
        labels: &["provider", "agent"],
        begins: "a later plan's fence is in the zone",
        ends: "the next write, or another leader",
        known_by: KnownBy::One,
        summary: "the leader may not write a zone",
        runbook: "route-53-does-not-follow-the-plan",
    },
    AlertRow {
        name: "RegionMeshZoneDrift",
        severity: Severity::Warning,
        labels: &["provider", "agent"],
        begins: "records were changed outside the mesh",
        ends: "they are as planned, or another leader",
        known_by: KnownBy::One,
        summary: "records of a zone are not as planned",
        runbook: "route-53-does-not-follow-the-plan",
    },
    AlertRow {
        name: "RegionMeshModelConflict",
        severity: Severity::Warning,
        labels: &["model", "version"],
        begins: "a `+conflict.` version is held",
        ends: "it is deleted",
        known_by: KnownBy::One,
        summary: "two regions published one version with different content",
        runbook: "version-conflicts",
    },
    AlertRow {
        name: "RegionMeshCertificateExpiring",
        severity: Severity::Warning,
        labels: &["agent"],
        begins: "a fifth of its life is left, 7 days at most",
        ends: "a new certificate",
        known_by: KnownBy::One,
        summary: "a certificate should have been renewed by now",
        runbook: "certificates",
    },
    AlertRow {
        name: "RegionMeshCertificateExpiryImminent",
        severity: Severity::Critical,
        labels: &["agent"],
        begins: "a twentieth of its life is left, 2 days at most",
        ends: "a new certificate",
        known_by: KnownBy::One,
        summary: "a certificate is about to expire, and its agent will be cut off",
        runbook: "certificates",
    },
    AlertRow {
        name: "RegionMeshBudgetCrossed",
        severity: Severity::Warning,
        labels: &["notice", "region", "subject"],
        begins: "spending or its forecast crosses a threshold of a budget",
        ends: "the budget's period",
        known_by: KnownBy::One,
        summary: "a budget's threshold was crossed",
        runbook: "budgets-and-anomalies",
    },
    AlertRow {
        name: "RegionMeshCostAnomaly",
        severity: Severity::Warning,
        labels: &["notice", "region", "subject"],
        begins: "spending leaves its usual range",
        ends: "it is back, or the new level has become usual",
        known_by: KnownBy::One,
        summary: "spending is not what it was",
        runbook: "budgets-and-anomalies",
    },
    AlertRow {
        name: "RegionMeshCostDataLate",
        severity: Severity::Warning,
        labels: &["notice", "region", "subject"],
        begins: "a billing export is late or can't be read",
        ends: "it was read",
        known_by: KnownBy::One,
        summary: "billing data are late or can't be read",
        runbook: "billing-data-is-late",
    },
];

/// The whole table: the mesh's own alerts, then those of the problems that agents report.
pub fn rows() -> Vec<AlertRow> {
    let of_problem = |kind: ProblemKind| AlertRow {
        name: kind.alert_name(),
        severity: kind.severity(),
        labels: &["region", "agent", "subject"],
        begins: "an agent reports the problem",
        ends: "it reports the end, or is gone",
        known_by: KnownBy::One,
        summary: kind.summary(),
        runbook: "problems-reported-by-agents",
    };

    MeshAlert::ALL
        .iter()
        .map(|alert| alert.row())
        .chain(ProblemKind::ALL.iter().copied().map(of_problem))
        .collect()
}

#[cfg(test)]
mod tests;

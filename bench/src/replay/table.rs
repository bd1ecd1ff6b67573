//! Reports as text.

use super::{
    bill::Bill,
    report::{Candidate, Goal, Range, Report},
    sensitivity::{BASELINES, Sensitivity},
    strategy::Strategy,
};
use regionmesh_cost::Amount;
use std::fmt::{self, Write};

/// A part of a bill.
type Part = fn(&Bill) -> Amount;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.days;
        let warm_up = self.warm_up_days;
        let seeds = self.seeds.len();

        writeln!(
            f,
            "{days} days after {warm_up} days of warm-up; medians of {seeds} seeds, least to most \
                in brackets\n"
        )?;

        self.savings(f)?;
        self.costs(f)?;

        writeln!(f)?;
        for Goal {
            title,
            least,
            measured,
            is_reached,
        } in self.goals()
        {
            let verdict = if is_reached { "reached" } else { "MISSED" };
            writeln!(
                f,
                "{verdict}: {title}: {}, goal {:.2} %",
                exact(measured),
                least * 100.0
            )?;
        }

        Ok(())
    }
}

impl Report {
    /// Cost and the savings of the mesh, with and without the reserve for a loss.
    fn savings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let loss = "if a region is lost";
        writeln!(
            f,
            "{:40} {:>9}  {:^46}  {:>9} {:>20}",
            "", "", "the mesh saves", "", loss
        )?;

        let with = "surviving a loss";
        let without = "without reserve";
        let name = "strategy where most callers are";
        let place = "cost, USD";

        writeln!(
            f,
            "{name:40} {place:>9}  {with:>22}  {without:>22}  {:>9} {:>20}",
            "answered", "answered"
        )?;

        let documented = Strategy::ALL
            .iter()
            .filter_map(|strategy| self.documented(*strategy));
        documented
            .clone()
            .try_for_each(|candidate| self.row(f, candidate.strategy.title(), candidate))?;

        let elsewhere: Vec<&Candidate> = self.elsewhere().collect();
        if elsewhere.is_empty() {
            return Ok(());
        }

        writeln!(f, "\nelsewhere")?;
        let mut last = None;
        for candidate in elsewhere {
            if last.replace(candidate.strategy) != Some(candidate.strategy) {
                writeln!(f, "{}", candidate.strategy.title())?;
            }
            self.row(
                f,
                &format!("  {}", candidate.regions.join(" + ")),
                candidate,
            )?;
        }

        Ok(())
    }

    fn row(&self, f: &mut fmt::Formatter<'_>, title: &str, candidate: &Candidate) -> fmt::Result {
        write!(f, "{title:40} {:9.0}", candidate.cost().median)?;
        for mesh in [Strategy::Mesh, Strategy::MeshWithoutReserve] {
            let mesh = self
                .documented(mesh)
                .filter(|mesh| mesh.strategy != candidate.strategy);
            write!(
                f,
                "  {:>22}",
                mesh.map_or_else(String::new, |mesh| percent(mesh.saving_against(candidate)))
            )?;
        }

        let survives = candidate.strategy.survives();
        let loss = if survives {
            share(candidate.served_after_loss().min)
        } else {
            "-".to_owned()
        };

        writeln!(f, "  {:>9} {loss:>20}", share(candidate.served().min))
    }

    /// Costs by part.
    fn costs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: [(&str, Part); 6] = [
            ("on demand", |bill| bill.on_demand),
            ("spot", |bill| bill.spot),
            ("committed", |bill| bill.committed),
            ("per region", |bill| bill.fixed),
            ("answers", |bill| bill.answers),
            ("replication", |bill| bill.replication),
        ];

        write!(f, "\n{:40}", "cost, USD")?;
        parts
            .iter()
            .try_for_each(|(title, _)| write!(f, " {title:>11}"))?;
        writeln!(f, "  regions")?;
        for candidate in Strategy::ALL
            .iter()
            .filter_map(|strategy| self.documented(*strategy))
        {
            write!(f, "{:40}", candidate.strategy.title())?;
            let cost = |part: Part| {
                candidate
                    .range(|outcome| part(&outcome.bill).to_f64())
                    .median
            };

            parts
                .iter()
                .try_for_each(|(_, part)| write!(f, " {:11.0}", cost(*part)))?;
            writeln!(f, "  {}", candidate.regions.join(" + "))?;
        }

        Ok(())
    }
}

impl Sensitivity {
    /// A table of variants.
    pub fn table(variants: &[Self]) -> String {
        let mut text = format!("{:52}", "the mesh that survives a loss saves against");
        let titles = ["peak", "hot standby", "active pair", "one, res. + spot"];
        titles
            .iter()
            .for_each(|title| text += &format!("  {title:>22}"));
        text += &format!("  {:>9}\n", "answered");
        for variant in variants {
            let savings = BASELINES.iter().map(|baseline| {
                let found = variant
                    .savings
                    .iter()
                    .find(|(strategy, _)| strategy == baseline);

                format!(
                    "  {:>22}",
                    found.map_or_else(String::new, |(_, saving)| percent(*saving))
                )
            });

            // Writing to a string can't fail.
            let _ = writeln!(
                text,
                "{:52}{}  {:>9}",
                variant.title,
                savings.collect::<String>(),
                share(variant.served.min)
            );
        }

        text
    }
}

/// `31.2 % (30.1 to 31.9)`; negative where it costs more.
fn percent(range: Range) -> String {
    let [median, min, max] = [range.median, range.min, range.max].map(|part| part * 100.0);
    format!("{median:.1} % ({min:.1} to {max:.1})")
}

/// As [`percent`], with three digits.
fn exact(range: Range) -> String {
    let [median, min, max] = [range.median, range.min, range.max].map(|part| part * 100.0);
    format!("{median:.3} % ({min:.3} to {max:.3})")
}

/// Rounded down, so that only a full share is 100 %.
fn share(share: f64) -> String {
    format!("{:.3} %", (share * 1e5).floor() / 1e3)
}

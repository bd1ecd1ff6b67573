//! The fields of a price record.

use crate::{
    cells::PricingClass,
    money::{Amount, AmountError},
    prices::{
        Destination, PRICE_LIMIT, PriceItem, Unit, placeholder,
        records::Record,
        rejection::{RejectReason, RejectedPrice},
    },
    regions::CloudRegion,
};

/// The fields of a record, read one by one.
pub(super) struct Fields<'a>(pub(super) &'a Record);

impl<'a> Fields<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.0.fields.get(name).map(|(text, _)| text.as_str())
    }

    pub(super) fn reject(&self, name: &str, reason: RejectReason) -> RejectedPrice {
        let (text, line) = self
            .0
            .fields
            .get(name)
            .map_or(("", self.0.line), |(text, line)| (text, *line));

        RejectedPrice::new(line, Some(name), text, reason)
    }

    fn required(&self, name: &str) -> Result<&'a str, RejectedPrice> {
        self.text(name)
            .ok_or_else(|| self.reject(name, RejectReason::Missing))
    }

    /// The field's value, or `absent`.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        absent: T,
        choices: &[(&str, T)],
    ) -> Result<T, RejectedPrice> {
        let Some(text) = self.text(name) else {
            return Ok(absent);
        };
        let found = choices
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value);
        let words = || {
            choices
                .iter()
                .map(|(word, _)| *word)
                .collect::<Vec<_>>()
                .join(", ")
        };

        found.ok_or_else(|| self.reject(name, RejectReason::Choice(words())))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool, RejectedPrice> {
        self.choice(name, false, &[("true", true), ("false", false)])
    }

    fn place(&self, name: &str) -> Result<CloudRegion, RejectedPrice> {
        self.required(name)?
            .parse()
            .map_err(|_| self.reject(name, RejectReason::Place))
    }

    pub(super) fn amount(
        &self,
        gpu: Option<&str>,
        is_verified: bool,
    ) -> Result<Amount, RejectedPrice> {
        let is_free = self.flag("free")?;
        let text = self.required("amount")?;
        let (amount, _) = Amount::parse(text.as_bytes()).map_err(|error| {
            let reason = match error {
                AmountError::Syntax => RejectReason::NotANumber,
                AmountError::TooLarge => RejectReason::TooLarge,
            };
            self.reject("amount", reason)
        })?;

        if amount > PRICE_LIMIT {
            return Err(self.reject("amount", RejectReason::TooLarge));
        }
        placeholder::check(amount, gpu, is_free, is_verified)
            .map_err(|reason| self.reject("amount", reason))?;
        Ok(amount)
    }

    pub(super) fn item(&self) -> Result<(PriceItem, Unit), RejectedPrice> {
        #[derive(Clone, Copy)]
        enum Kind {
            Node,
            Egress,
            Storage,
            Requests,
        }

        self.required("kind")?;
        let kinds = [
            ("node", Kind::Node),
            ("egress", Kind::Egress),
            ("storage", Kind::Storage),
            ("requests", Kind::Requests),
        ];
        let kind = self.choice("kind", Kind::Node, &kinds)?;

        if matches!(kind, Kind::Egress) {
            let from = self.place("from")?;
            let to = match self.required("to")?.to_lowercase().as_str() {
                "internet" => Destination::Internet,
                "same-region" => Destination::SameRegion,
                _ => Destination::Region(self.place("to")?),
            };

            return Ok((PriceItem::Egress { from, to }, Unit::Gib));
        }

        let at = CloudRegion::new(self.required("cloud")?, self.required("region")?);
        let sku = self.required("sku")?;
        let classes = [
            PricingClass::OnDemand,
            PricingClass::Spot,
            PricingClass::Committed,
        ];

        Ok(match kind {
            Kind::Node | Kind::Egress => {
                let classes = classes.map(|class| (class.as_str(), class));
                let pricing = self.choice("pricing", PricingClass::OnDemand, &classes)?;
                (PriceItem::node(&at, sku, pricing), Unit::Hour)
            }
            Kind::Storage => (PriceItem::storage(&at, sku), Unit::GibMonth),
            Kind::Requests => (PriceItem::requests(&at, sku), Unit::ThousandRequests),
        })
    }
}

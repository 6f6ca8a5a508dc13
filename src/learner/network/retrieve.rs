//! What a retriever of items needs of a network: vectors of ids, one at a time.

use crate::batch::Slot;
use crate::learner::Learner;
use crate::model::network::Retrieval;
use crate::table::StripeSet;

impl Learner {
    /// How a network's score of an item is a dot product; none of another model.
    pub fn retrieval(&self) -> Option<Retrieval> {
        self.network.as_ref()?.head.network().retrieval()
    }

    /// The vector `[dim]` that field `name` of the network makes of these features: the sum of value · row. None if it has no such
    /// field with a table.
    pub fn vector_of(&self, name: &str, features: &[(Slot, f32)]) -> Option<Vec<f32>> {
        let network = self.network.as_ref()?;
        let place = network.head.fields().iter().position(|field| field.name == name)?;
        let (_, table) = network.settled().get(network.bindings.fields.get(place)?.table?)?;
        let mut stripes = StripeSet::default();
        features.iter().for_each(|(slot, _)| stripes.insert(table.stripe_of(*slot)));
        let (mut lease, mut vector) =
            (table.lease(stripes), vec![0.0; table.options().width / network.rule.floats()]);
        for &(slot, value) in features {
            network.rule.add_to(lease.row(slot), value, &mut vector);
        }
        Some(vector)
    }

    /// The weights of a dense parameter of the network, row-major.
    pub fn parameter(&self, name: &str) -> Option<Vec<f32>> {
        self.network.as_ref()?.head.parameter(name)
    }

    /// A network's output as users see it.
    pub fn linked(&self, output: f32) -> f32 {
        self.network.as_ref().map_or(output, |network| network.head.network().objective().prediction(output))
    }
}

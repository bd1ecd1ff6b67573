//! Users act, and stores lose files.

use super::{
    act::Act,
    commit::{file_path, manifest_path},
    told::{deletions, held},
    work,
};
use crate::mesh::world::World;

impl World {
    /// A user acts, or a file vanishes.
    pub(crate) fn act(&mut self, act: Act) {
        let Ok((model, version)) = act.name() else {
            return;
        };
        let Some(agent) = act.agent() else {
            return self.lose_file(act, &manifest_path(&model, &version));
        };
        if !self.machines[agent].reacts(self.now_ms) {
            return;
        }

        let process = self.process(agent);
        let machine = &self.machines[agent];
        let deletions = deletions(&self.stores[machine.region].objects);
        let context = machine.models.context.clone();
        let number = self.laws.models.begin(act, agent, self.now_ms, deletions);
        let work = work::of_act(context, act, number, model, version);
        self.begin_work(process, work);
    }

    /// Loses the first file of a version, if another region has all of it.
    fn lose_file(&mut self, act: Act, path: &str) {
        let Act::LoseFile { region, .. } = act else {
            return;
        };
        let Some(manifest) = held(&self.stores[region].objects, path) else {
            return;
        };
        let has_other = (0..self.shape.regions)
            .filter(|other| *other != region)
            .any(|other| self.holds_whole(other, path, &manifest));
        if has_other && let Some(file) = manifest.files.first() {
            let file = file_path(&manifest.model, &manifest.version, &file.path);
            self.stores[region].objects.lose(&file);
            self.laws.models.lost.insert((region, path.to_owned()));
        }
    }
}

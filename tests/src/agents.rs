//! Helpers for single agents: signals, configurations, stores.

use crate::mesh::TestMesh;
use regionmesh::{
    config::Config,
    local_mesh::{children::ChildState, layout::LocalAgent},
};
use std::{path::PathBuf, process::Command};

/// Sends a signal, such as `-STOP`, to a process.
pub fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .expect("kill runs");

    assert!(sent.success(), "kill {name} {pid}");
}

/// Changes the configuration file of an agent, which reads it at its next start or SIGHUP.
pub fn configure_agent(agent: &LocalAgent, change: impl FnOnce(&mut Config)) {
    let file = agent.config_file();
    let mut config = Config::load(&file).expect("a configuration");
    change(&mut config);
    std::fs::write(file, toml::to_string(&config).expect("TOML")).expect("a file");
}

impl TestMesh {
    /// The process of a running agent.
    pub fn pid(&self, agent: &LocalAgent) -> u32 {
        let state = self.state(&agent.id).expect("an agent of this mesh");
        let ChildState::Running { pid } = state else {
            panic!("{} is {state:?}", agent.id)
        };

        pid
    }

    /// The folder of the store of region `index`.
    pub fn store_folder(&self, index: usize) -> PathBuf {
        let config = Config::load(&self.agent(index).config_file()).expect("a configuration");
        let path = config.store.url.strip_prefix("file://");
        path.expect("a store in a folder").into()
    }
}

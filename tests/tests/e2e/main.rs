//! Every end-to-end test in one program, because each program links the whole product;
//! `scripts/checks/run-tests` runs the modules side by side.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alerts;
mod children;
mod clocks;
mod cost;
mod cost_moves;
mod deletion;
mod dns;
mod dns_outside;
mod docs;
mod doors;
mod extremes;
mod failover;
mod first_hour;
mod front_door;
mod garbage;
mod gateways;
mod hangup;
mod health_check;
mod hostile_models;
mod kills;
mod leader;
mod leftovers;
mod membership;
mod metrics;
mod model_truth;
mod orders;
mod partition;
mod publish;
mod restart;
mod route53;
mod route53_fake;
mod route53_health;
mod route53_mesh;
mod route53_moto;
mod serving_golden;
mod several_agents;
mod stolen_certificate;
mod store_faults;
mod survival;
mod tour;
mod verdicts;

//! Three agents' leader parts with acceptors in memory, over a simulated network and a board that
//! all share. Time is virtual.

mod elections;
mod judging;
mod members;
mod mesh;
mod orders;
mod restarts;
mod signatures;

//! An executor on a host of its own, in a network namespace, whose link is cut in the middle of a job.

use std::process::{Command, Stdio};
use std::time::Duration;

use volley_cluster::{ClusterSettings, Token};

use crate::cluster_ground::{Executor, Ground, ROWS_OF_SPLIT, SPLITS, TIMERS, scored};
use crate::harness::note;
use crate::process::command;
use crate::resume::{files, jobs, receipts};

const TOKEN: &str = "a-token-between-two-hosts";

/// Another host, and the link to it, until it is dropped.
struct Host {
    name: String,
    /// Our end of the link.
    ours: String,
    address_here: String,
    address_there: String,
}

fn ip(arguments: &[&str]) -> bool {
    let done = Command::new("ip").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Host {
    /// None where the system does not let us have one.
    fn new() -> Option<Self> {
        // Two runs of the tests at a time have hosts of their own.
        let number = std::process::id() % 250;
        let (name, ours, theirs) = (format!("volley{number}"), format!("vly{number}a"), format!("vly{number}b"));
        let (address_here, address_there) = (format!("10.231.{number}.1"), format!("10.231.{number}.2"));
        let host = Self { name, ours, address_here, address_there };
        let (here, there) = (format!("{}/30", host.address_here), format!("{}/30", host.address_there));
        let is_there = ip(&["netns", "add", &host.name])
            && ip(&["link", "add", &host.ours, "type", "veth", "peer", "name", &theirs])
            && ip(&["link", "set", &theirs, "netns", &host.name])
            && ip(&["addr", "add", &here, "dev", &host.ours])
            && ip(&["link", "set", &host.ours, "up"])
            && ip(&["-n", &host.name, "addr", "add", &there, "dev", &theirs])
            && ip(&["-n", &host.name, "link", "set", &theirs, "up"])
            && ip(&["-n", &host.name, "link", "set", "lo", "up"]);
        is_there.then_some(host)
    }

    fn link(&self, state: &str) {
        assert!(ip(&["link", "set", &self.ours, state]));
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        ip(&["link", "del", &self.ours]);
        ip(&["netns", "del", &self.name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_link_is_cut_loses_its_splits_to_others_and_comes_back_with_it() {
    let Some(host) = Host::new() else {
        note("no network namespaces here, so no link was cut");
        return;
    };
    let settings = ClusterSettings {
        bind: format!("{}:0", host.address_here).parse().unwrap(),
        token: Some(Token::new(TOKEN).unwrap()),
        timers: TIMERS,
        ..ClusterSettings::default()
    };
    let ground = Ground::with(SPLITS, ROWS_OF_SPLIT, settings).await;
    let address = ground.cluster.address().to_string();
    let begin = |bind: &str, inside: bool| {
        let arguments = ["executor", "--server", &address, "--bind", bind, "--cores", "1", "--heartbeat-seconds", "1"];
        let plain = command(ground.folder.path(), &arguments);
        let mut executor = match inside {
            false => plain,
            true => {
                let mut executor = Command::new("ip");
                executor.args(["netns", "exec", &host.name]).arg(plain.get_program()).args(plain.get_args());
                executor.current_dir(ground.folder.path()).stdin(Stdio::null());
                executor
            }
        };
        executor.args(["--pulse-milliseconds", "100"]).env("VOLLEY_CLUSTER_TOKEN", TOKEN);
        Executor::spawn(executor)
    };
    let (_here, _there) = (begin(&host.address_here, false), begin(&host.address_there, true));
    ground.cluster.has_capacity(2).await;
    let cut = async {
        ground.has_sealed(20).await;
        host.link("down");
        assert!(ground.sealed() < SPLITS, "the cut came after the last receipt");
    };
    let sql = scored();
    let (published, ()) = tokio::join!(ground.run("cut", &sql), cut);
    assert_eq!(published.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
    let (out, done) = (files(&ground.path("out")), receipts(&jobs(ground.folder.path())[0]));
    // The other side may have gone on all the while.
    tokio::time::sleep(2 * TIMERS.dead_after).await;
    assert_eq!(ground.cluster.capacity(), 1);
    host.link("up");
    let back = tokio::time::timeout(Duration::from_secs(60), ground.cluster.has_capacity(2)).await;
    assert!(back.is_ok(), "it does not come back");
    assert!(files(&ground.path("out")) == out && receipts(&jobs(ground.folder.path())[0]) == done);
    ground.has_every_id_once().await;
    ground.forget();
    assert_eq!(ground.run("after", &sql).await.unwrap().rows, (SPLITS * ROWS_OF_SPLIT) as u64);
}

//! One schedule: its actors, and who of them makes which call next.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::runtime::Runtime;

use super::cast::{self, Call, Hands, Play, WAITS};
use super::chance::Chance;
use super::store::{Client, Gates, Shared};
use super::watch::Watch;
use crate::{JobId, Mode};

/// How a schedule ended.
pub(super) struct Ended {
    pub(super) violations: BTreeSet<String>,
    pub(super) calls: u64,
    pub(super) trace: u64,
    pub(super) committed: bool,
    pub(super) second_committed: bool,
    pub(super) repaired: bool,
}

struct Actor {
    future: Pin<Box<dyn Future<Output = ()>>>,
    gates: Arc<Mutex<Gates>>,
    kind: Kind,
}

/// Who is cut off how often: what an owner leaves half done is what the others stumble over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Owner,
    Other,
}

/// A world with actors in it.
struct World {
    shared: Arc<Mutex<Shared>>,
    clock: Runtime,
    chance: Chance,
    minds: Rc<RefCell<Chance>>,
    calls: Rc<RefCell<Vec<Call>>>,
    actors: Vec<Actor>,
    /// Cut off from everybody, and not dead.
    zombies: Vec<Actor>,
    renames: bool,
}

/// What happens to the actors of a phase, of 1000 steps each.
struct Weather {
    steps: usize,
    ends: u64,
    vanishes: u64,
    wakes: u64,
    jumps: u64,
}

const ACTORS_MAX: usize = 24;
const STORM: Weather = Weather { steps: 3000, ends: 4, vanishes: 60, wakes: 0, jumps: 3 };
const STILL: Weather = Weather { steps: 2000, ends: 0, vanishes: 0, wakes: 0, jumps: 0 };
const CALM: Weather = Weather { steps: 20_000, ends: 0, vanishes: 0, wakes: 0, jumps: 1 };
const HAUNTED: Weather = Weather { steps: 20_000, ends: 0, vanishes: 0, wakes: 200, jumps: 3 };

impl World {
    fn new(seed: u64) -> Self {
        let clock = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        clock.block_on(async { super::START.set(Some(tokio::time::Instant::now())) });
        let mut chance = Chance::new(seed);
        let shared = Shared {
            objects: BTreeMap::new(),
            chance: Chance::new(seed ^ 1 << 40),
            faults: 0,
            request: WAITS.request,
            calls: 0,
            trace: 0,
            watch: Watch::default(),
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
            clock,
            minds: Rc::new(RefCell::new(Chance::new(seed ^ 1 << 41))),
            calls: Rc::default(),
            actors: vec![],
            zombies: vec![],
            renames: chance.of_1000(300),
            chance,
        }
    }

    fn add<F: Future<Output = ()> + 'static>(&mut self, play: impl FnOnce(Hands) -> F) {
        self.add_as(Kind::Other, play);
    }

    /// An owner that takes over in the middle of what those before it do, or at once.
    fn add_owner(&mut self, plays: Vec<Play>, latest: u64) {
        let after = Duration::from_millis(self.chance.below(latest + 1));
        self.add_as(Kind::Owner, |hands| cast::own(hands, plays, after));
    }

    fn add_as<F: Future<Output = ()> + 'static>(&mut self, kind: Kind, play: impl FnOnce(Hands) -> F) {
        let gates = Arc::new(Mutex::new(Gates::default()));
        let client = Client { shared: self.shared.clone(), gates: gates.clone(), renames: self.renames };
        let hands = Hands { client, chance: self.minds.clone(), calls: self.calls.clone() };
        self.actors.push(Actor { future: Box::pin(play(hands)), gates, kind });
    }

    fn with<T>(&self, look: impl FnOnce(&mut Shared) -> T) -> T {
        look(&mut self.shared.lock().unwrap())
    }

    fn advance(&self, time: Duration) {
        self.clock.block_on(tokio::time::advance(time));
    }

    /// Lets an actor make one call and go on to its next; whether it is done.
    fn step(clock: &Runtime, chance: &mut Chance, actor: &mut Actor) -> bool {
        let granted = actor.gates.lock().unwrap().grant(chance);
        if let Some(waker) = granted {
            waker.wake();
        }
        let _time = clock.enter();
        actor.future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Until all actors are done, or the steps are.
    fn run(&mut self, weather: &Weather) {
        for _ in 0..weather.steps {
            self.pass_time(weather);
            self.hire();
            if self.chance.of_1000(weather.vanishes) {
                self.lose_a_staged_object();
            }
            if self.chance.of_1000(weather.wakes) {
                self.wake_a_zombie();
            }
            let Some(nth) = self.pick() else { return };
            let ends = weather.ends * self.danger(nth);
            if self.chance.of_1000(ends) {
                self.end(nth);
            } else if Self::step(&self.clock, &mut self.chance, &mut self.actors[nth]) {
                self.actors.swap_remove(nth);
            }
        }
        self.actors.clear();
    }

    fn danger(&self, nth: usize) -> u64 {
        match self.actors[nth].kind {
            Kind::Owner if self.with(|shared| shared.watch.is_publishing) => 15,
            Kind::Owner => 1,
            Kind::Other => 3,
        }
    }

    fn pick(&mut self) -> Option<usize> {
        (!self.actors.is_empty()).then(|| self.chance.below(self.actors.len() as u64) as usize)
    }

    fn pass_time(&mut self, weather: &Weather) {
        let all_sleep = self.actors.iter().all(|actor| actor.gates.lock().unwrap().are_idle());
        if self.chance.of_1000(weather.jumps) {
            let time = Duration::from_millis(500 + self.chance.below(5000));
            self.advance(time);
        } else if all_sleep || self.chance.of_1000(60) {
            let most = if all_sleep { 400 } else { 60 };
            let time = Duration::from_millis(1 + self.chance.below(most));
            self.advance(time);
        }
    }

    fn hire(&mut self) {
        let calls = std::mem::take(&mut *self.calls.borrow_mut());
        for call in calls.into_iter().take(ACTORS_MAX.saturating_sub(self.actors.len())) {
            match call {
                Call::Attempt(play, split) => self.add(|hands| cast::attempt(hands, play, split)),
                Call::Repair(play, split) => self.add(|hands| cast::repair(hands, play, split)),
            }
        }
    }

    /// An actor dies, with its calls or after them, or is cut off and wakes later.
    fn end(&mut self, nth: usize) {
        let mut actor = self.actors.swap_remove(nth);
        match self.chance.below(10) {
            0..2 => {}
            2..4 => {
                Self::step(&self.clock, &mut self.chance, &mut actor);
            }
            _ => self.zombies.push(actor),
        }
    }

    fn wake_a_zombie(&mut self) {
        if self.zombies.is_empty() {
            return;
        }
        let nth = self.chance.below(self.zombies.len() as u64) as usize;
        if Self::step(&self.clock, &mut self.chance, &mut self.zombies[nth]) {
            self.zombies.swap_remove(nth);
        }
    }

    /// A rule of the store's owner, or a person: something sealed is gone.
    fn lose_a_staged_object(&mut self) {
        let staged = |key: &&String| key.ends_with("-0.staged") || key.ends_with("-1.staged");
        let lost = self.with(|shared| {
            let all: Vec<_> = shared.objects.keys().filter(staged).cloned().collect();
            (!all.is_empty()).then(|| all[shared.chance.below(all.len() as u64) as usize].clone())
        });
        if let Some(lost) = lost.filter(|lost| self.is_sealed(lost)) {
            self.with(|shared| shared.objects.remove(&lost));
        }
    }

    /// Only what a receipt names, and seldom before the decision: a replacement that is lost too needs a person,
    /// and a job that loses anything before is merely given up.
    fn is_sealed(&mut self, path: &str) -> bool {
        let before = self.chance.of_1000(20);
        let (folder, name) = path.rsplit_once('/').unwrap();
        let job = format!("/jobs/{}/", folder.rsplit('/').next().unwrap());
        let names = |body: &[u8]| String::from_utf8_lossy(body).contains(name);
        self.with(|shared| {
            let records = || shared.objects.iter().filter(|(key, _)| key.contains(&job));
            let is_decided = records().any(|(key, _)| key.ends_with("/outcome.json"));
            let mut receipts = records().filter(|(key, _)| key.contains("/splits/") && key.ends_with(".json"));
            (is_decided || before) && receipts.any(|(_, object)| names(&object.body))
        })
    }
}

fn id(seed: u64, nth: u64) -> JobId {
    let mut chance = Chance::new(seed ^ nth << 50);
    let text = format!("01900000-0000-7000-8000-{:012x}", chance.next() >> 16);
    text.parse().unwrap()
}

/// Two jobs one after the other, or side by side, and everything that can go wrong.
pub(super) fn run(seed: u64) -> Ended {
    let mut world = World::new(seed);
    let partitioned = world.chance.of_1000(500);
    let [first, second] = plays(&mut world, seed, partitioned);
    if first.mode != Mode::Error {
        let before = Play { tag: "j0", id: id(seed, 0), mode: Mode::Error, ..first };
        world.add(|hands| cast::alone(hands, before));
        world.run(&STILL);
    }
    world.with(|shared| {
        shared.watch.expect(first);
        shared.watch.start(&shared.objects);
    });
    storm(&mut world, first, second);
    let healed =
        world.with(|shared| shared.objects.keys().any(|key| key.ends_with(&format!("{}/plan.json", first.id))));
    if healed && world.with(|shared| !shared.watch.is_expected(second.id)) {
        second_job(&mut world, second);
    }
    haunt(&mut world);
    sweep(&mut world);
    ended(&world, first, second)
}

fn plays(world: &mut World, seed: u64, partitioned: bool) -> [Play; 2] {
    let again = [Mode::Append, Mode::Overwrite, Mode::OverwritePartitions];
    let mode = world.chance.one_of(&[Mode::Error, Mode::Append, Mode::Overwrite, Mode::OverwritePartitions]);
    let first = Play { tag: "j1", id: id(seed, 1), mode, state: "s1", partitioned };
    let mode = world.chance.one_of(&again);
    let state = world.chance.one_of(&["s1", "s1", "s2"]);
    [first, Play { tag: "j2", id: id(seed, 2), mode, state, partitioned }]
}

/// Owners that come and go, and nobody who can rely on anything; then one whom nothing disturbs.
fn storm(world: &mut World, first: Play, second: Play) {
    let beside = first.mode != Mode::Error && world.chance.of_1000(250);
    let plays = match (beside, second.state) {
        (true, "s1") => vec![first, second],
        _ => vec![first],
    };
    if beside {
        world.with(|shared| shared.watch.expect(second));
    }
    world.with(|shared| shared.faults = 150);
    for latest in [0, 3000, 8000] {
        world.add_owner(plays.clone(), latest);
    }
    if beside && second.state == "s2" {
        world.add_owner(vec![second], 0);
    }
    if world.chance.of_1000(400) {
        world.add(|hands| cast::cancel(hands, first));
    }
    world.run(&STORM);
    world.with(|shared| shared.faults = 0);
    world.add_owner(plays, 0);
    if beside && second.state == "s2" {
        world.add_owner(vec![second], 0);
    }
    world.run(&CALM);
}

/// Another job at the same destination, while those that were cut off wake.
fn second_job(world: &mut World, second: Play) {
    world.with(|shared| {
        shared.watch.expect(second);
        shared.faults = 50;
    });
    world.add_owner(vec![second], 0);
    if world.chance.of_1000(300) {
        world.advance(crate::COLLECT_AGE_MIN * 2);
        world.add(|hands| cast::sweep(hands, "s1"));
    }
    world.run(&HAUNTED);
    world.with(|shared| shared.faults = 0);
    world.add_owner(vec![second], 0);
    world.run(&CALM);
}

/// What is over for long leaves nothing in staging, whatever zombies have put there.
fn sweep(world: &mut World) {
    world.advance(crate::COLLECT_AGE_MIN * 2);
    for state in ["s1", "s2"] {
        world.add(|hands| cast::sweep(hands, state));
    }
    world.run(&STILL);
    world.with(|shared| {
        if shared.objects.keys().any(|key| key.starts_with("out/.volley-staging/")) {
            shared.watch.found("something is left in staging for ever");
        }
    });
}

/// All is over, and whoever was cut off goes on to its end.
fn haunt(world: &mut World) {
    let seen = |shared: &mut Shared| {
        shared.watch.check_end(&shared.objects);
        let below = shared.objects.range("out/scores/".to_owned().."out/scores0".to_owned());
        below.map(|(key, object)| (key.clone(), object.body.clone())).collect::<Vec<_>>()
    };
    let before = world.with(seen);
    world.actors = std::mem::take(&mut world.zombies);
    world.run(&CALM);
    let after = world.with(seen);
    if before != after {
        world.with(|shared| shared.watch.found("a zombie changed the destination after the end"));
    }
}

fn ended(world: &World, first: Play, second: Play) -> Ended {
    world.with(|shared| {
        let has =
            |play: Play, name: &str| shared.objects.contains_key(&format!("{}/jobs/{}/{name}", play.state, play.id));
        Ended {
            committed: has(first, "published.json"),
            second_committed: has(second, "published.json"),
            repaired: shared.objects.keys().any(|key| key.ends_with(".repair")),
            violations: std::mem::take(&mut shared.watch.violations),
            calls: shared.calls,
            trace: shared.trace,
        }
    })
}

//! Simulated runs: they tell what real threads do, repeat, and add up.

use super::workers::Meddler;
use crate::common::need::Suite;
use gradus::exchange::{Mode, Push, Worker};
use gradus::prelude::*;
use gradus::server::{Cluster, Crashes, Delay, Event, Flow, Link, Rules, Server, ServerCost, Simulation, Standing};
use gradus::train::{DataSpec, Recipe, Registry};

static SUITE: Suite = Suite::new("simulation", 10);

/// Workers that sleep for so long before each push, until there were so many updates: how long that took, and where the run stood.
fn asleep(recipe: &Recipe, workers: usize, mode: Mode, delay: Delay, enough: u64) -> (f64, Standing) {
    let registry = Registry::new();
    let server = Server::new(recipe.compile(&registry, &Device::cpu_threads(1)).unwrap(), Rules::new(workers).mode(mode)).unwrap();
    let sets = recipe.data.load(&registry).unwrap();
    // the simulation ends with the rows, whoever has taken them
    server.watch(move |event| match event {
        Event::Update { number, .. } if number >= enough => Ok(Flow::Stop),
        _ => Ok(Flow::Go),
    });
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        for rank in 0..workers {
            let (link, registry, sets) = (server.link(), &registry, &sets);
            scope.spawn(move || {
                let push = Box::new(move |p: Push| {
                    std::thread::sleep(std::time::Duration::from_secs_f64(delay.at(9, rank, p.clock)));
                    p
                });
                let mut model = recipe.compile(registry, &Device::cpu_threads(1)).unwrap();
                let mut link = Meddler { link, push };
                model.worker(&mut link, Worker::new(rank, workers)).run(&sets.train, &recipe.fit.clone().epochs(4)).unwrap();
            });
        }
    });
    (began.elapsed().as_secs_f64(), server.standing())
}

/// Threads that sleep as the simulation says that its workers compute take as long, within a quarter, and are as far ahead of each other.
#[test]
fn the_simulation_tells_what_threads_do() {
    let compute = || {
        let settings = Compile::new(Sgd::new(0.05), CrossEntropy::new()).input([784]).seed(5);
        (Sequential::new().add(Linear::new(10)), settings)
    };
    let recipe = |batch, rows: usize| {
        let (net, settings) = compute();
        let spec = DataSpec::new(format!("synthetic:{rows}:10")).flatten().scale(1.0 / 255.0);
        Recipe::new(&net, &settings, &Fit::new().batch_size(batch).verbose(0), spec).unwrap()
    };
    let delay = Delay::LogNormal { median: 0.012, sigma: 0.7 };
    let registry = Registry::new();
    for (workers, modes) in
        [(2, vec![Mode::Sync, Mode::SemiAsync { staleness: 2 }]), (4, vec![Mode::Sync, Mode::SemiAsync { staleness: 2 }, Mode::Async])]
    {
        for mode in modes {
            let recipe = recipe(4, 60 * 4 * workers);
            let free = ServerCost { push: 1e-4, update: 1e-4 };
            let told = Simulation::new(workers, mode).compute(delay).server(free).seed(9).run(&recipe, &registry).unwrap();
            // a machine with other work may hold a thread up: one of three runs must be as long as told
            let mut ran = vec![];
            while ran.len() < 3 && !ran.last().is_some_and(|(took, _): &(f64, _)| (took / told.seconds - 1.0).abs() < 0.25) {
                ran.push(asleep(&recipe, workers, mode, delay, told.updates));
            }
            let Some((took, standing)) = ran.pop() else { unreachable!() };
            assert!((took / told.seconds - 1.0).abs() < 0.25, "{workers} workers, {mode}: {took} s, and {} were told", told.seconds);
            let ahead = (standing.greatest_staleness, told.greatest_staleness);
            assert!(mode == Mode::Async || ahead.0 == ahead.1, "{workers} workers, {mode}: {ahead:?} clocks ahead");
            assert_eq!(standing.updates, told.updates, "{workers} workers, {mode}");
            SUITE.ran(1);
        }
    }
}

/// A simulated run repeats to the bit, dies and comes again, and no part of it is busy for longer than it lasts.
#[test]
fn a_simulation_repeats_and_adds_up() {
    let net = Sequential::new().add(Linear::new(10));
    // a rate at which gradients that missed 17 updates still lead down: at ten times that it hangs on the last bits whether the loss returns from 100
    let settings = Compile::new(Sgd::new(0.01).momentum(0.9), CrossEntropy::new()).input([784]);
    let data = DataSpec::new("synthetic:400:10").flatten().scale(1.0 / 255.0);
    let recipe = Recipe::new(&net, &settings, &Fit::new().batch_size(4), data).unwrap();
    let slow = Link { latency: 1e-3, bandwidth: 2e6 };
    for mode in [Mode::Sync, Mode::SemiAsync { staleness: 2 }, Mode::Async, Mode::Local { every: 4 }] {
        let s = Simulation::new(20, mode).compute(Delay::Pareto { least: 0.01, shape: 1.2 }).rows(4_000).server_link(slow).seed(3);
        let s = s.crashes(Crashes { probability: 0.05, restart: 0.5 });
        let (a, b) = (s.run(&recipe, &Registry::new()).unwrap(), s.run(&recipe, &Registry::new()).unwrap());
        assert_eq!(a, b, "{mode}");
        assert!(a.crashes > 0 && a.rows >= 4_000 && !a.diverged, "{mode}: {a:?}");
        for share in [a.ingress, a.egress, a.processor, a.computing] {
            assert!((0.0..=1.0).contains(&share), "{mode}: {a:?}");
        }
        assert!(a.curve.windows(2).all(|w| w[0].0 <= w[1].0) && a.curve.last().unwrap().1 < 2.0, "{mode}: {:?}", a.curve);
        assert!(mode.bound().is_none_or(|bound| a.greatest_staleness <= bound));
        let cut = s.clone().seconds(a.seconds / 2.0).run(&recipe, &Registry::new()).unwrap();
        assert!(cut.seconds <= a.seconds / 2.0 + 1e-9 && cut.rows < a.rows, "{mode}");
        SUITE.ran(1);
    }
}

/// Without delays a simulated run in step is a real one: the same losses, with running statistics and an average of the weights.
#[test]
fn in_step_it_is_the_real_run() {
    let net = Sequential::new().add(Linear::new(12)).add(BatchNorm1d::new()).add(Relu).add(Linear::new(10));
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([784]).seed(5).ema(0.9);
    let data = DataSpec::new("synthetic:240:10").flatten().scale(1.0 / 255.0);
    let recipe = Recipe::new(&net, &settings, &Fit::new().batch_size(4).verbose(0), data).unwrap();
    let told = Simulation::new(3, Mode::Sync).run(&recipe, &Registry::new()).unwrap();
    let ran = Cluster::new(Rules::new(3)).run(&recipe, &Registry::new(), &Device::cpu_threads(1)).unwrap();
    assert_eq!((told.updates, ran.standing.updates), (20, 20));
    let rows = recipe.data.load(&Registry::new()).unwrap().train;
    let loss = ran.model.evaluate(&rows, 240).unwrap()["loss"];
    assert!((told.curve.last().unwrap().1 - loss).abs() < 1e-9, "{loss}, and {:?} were told", told.curve.last());
    SUITE.ran(1);
}

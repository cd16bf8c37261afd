//! Several servers, each with a range of the parameters, as processes: the bits of one, whoever of them is killed.

use super::*;
use gradus::exchange::{Shards, WorkerReport, connect_shards};
use gradus::server::Standing;
use processes::{Ps, free_port};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// That of the other tests without a largest norm, which no shard knows.
fn unclipped() -> Recipe {
    let mut recipe = recipe();
    recipe.compile.clip_norm = None;
    recipe
}

fn compiled() -> Model {
    unclipped().compile(&Registry::new(), &Device::cpu_threads(1)).unwrap()
}

/// What two workers and one server come to, in step.
fn of_one_server() -> Model {
    Cluster::new(Rules::new(2)).fit(compiled(), |_| Ok(compiled()), &data(), &recipe().fit).unwrap().model
}

/// Two servers in this process, and where they listen.
fn both(rules: Rules) -> ([Server; 2], [Serving; 2], [String; 2]) {
    let servers = [0, 1].map(|index| Server::new(compiled(), rules.clone().shard(index, 2)).unwrap());
    let serving = [0, 1].map(|i: usize| serve(servers[i].clone(), Serve::new("127.0.0.1:0")).unwrap());
    let addrs = [0, 1].map(|i: usize| serving[i].addr().to_string());
    (servers, serving, addrs)
}

/// A worker on this thread, and its model.
fn shares(addrs: &[String], worker: Worker, how: Connect, pause: u64, before: impl FnMut(u64) + Send + 'static) -> (WorkerReport, Model) {
    let link = connect_shards(addrs, how.deadline(20.0)).unwrap();
    let mut link = Paced { link, pause: Duration::from_millis(pause), before: Box::new(before) };
    let mut model = compiled();
    let report = model.worker(&mut link, worker).run(&data(), &recipe().fit).unwrap();
    (report, model)
}

/// Two servers and two workers, all processes of their own: each worker has the bits that one server comes to, and writes them all into one file.
#[test]
fn two_servers_have_the_bits_of_one() {
    let folder = Folder::with(&unclipped());
    std::fs::write(folder.at("secret"), "0c81f2\n").unwrap();
    let secret = ["--secret-file", "secret"];
    let ps = ["1/2", "2/2"].map(|shard| folder.ps(&[&["--workers", "2", "--shard", shard], &secret[..]].concat()));
    let [a, b] = [&ps[0].addr, &ps[1].addr];
    // in another order, or one alone
    let (well, said) = folder.worker(&format!("{b},{a}"), 0, 2, &secret).ends();
    assert!(!well && said.contains("error: the server is shard 2/2, the worker takes it for shard 1/2"), "{said}");
    let (well, said) = folder.worker(b, 0, 2, &secret).ends();
    assert!(!well && said.contains("the worker takes it for shard 1/1"), "{said}");
    let servers = format!("{a},{b}");
    let workers = [0, 1].map(|rank: usize| {
        let save = ["weights.0", "weights.1"][rank];
        folder.worker(&servers, rank, 2, &[&["--save", save], &secret[..]].concat())
    });
    for worker in workers {
        let said = worker.ends_well();
        assert!(said.contains("39 pushes, 0 of them known"), "{said}");
    }
    for Ps { process, .. } in ps {
        let said = process.ends_well();
        assert!(said.contains("39 updates") && said.contains("0 pushes came twice"), "{said}");
    }
    let one = bits(&of_one_server());
    assert!(saved(&folder.at("weights.0")) == one && saved(&folder.at("weights.1")) == one);
    SUITE.ran(1);
}

/// What a shard cannot do the program says before it listens.
#[test]
fn what_a_shard_cannot_do() {
    let folder = Folder::new();
    let told = |args: &[&str]| {
        let out = folder.command("ps", &[&["--workers", "1", "--shard"], args].concat()).output().unwrap();
        assert!(!out.status.success());
        String::from_utf8(out.stderr).unwrap()
    };
    assert!(told(&["1/2"]).contains("compile.clip_norm"));
    assert!(told(&["1/2", "--save", "weights"]).contains("gradus worker --save"));
    assert!(told(&["3/2"]).contains("--shard") && told(&["0/2"]).contains("--shard"));
    SUITE.ran(1);
}

/// Out of step and in local training over the network, with gradients as f16.
#[test]
fn out_of_step_over_the_network() {
    for mode in [Mode::SemiAsync { staleness: 1 }, Mode::Local { every: 3 }] {
        let (servers, serving, addrs) = both(Rules::new(2).mode(mode));
        let done = std::thread::scope(|scope| {
            let addrs = &addrs;
            let work = move |rank| shares(addrs, Worker::new(rank, 2), Connect::new().half(!mode.is_local()), 0, |_| {});
            [0, 1].map(|rank| scope.spawn(move || work(rank))).map(|t| t.join().unwrap())
        });
        serving.iter().for_each(|s| s.wait().unwrap());
        assert!(bits(&done[0].1) == bits(&done[1].1), "{mode}");
        let standing: Vec<Standing> = servers.iter().map(Server::standing).collect();
        let updates = if mode.is_local() { 3 * 5 } else { 3 * 26 };
        assert!(standing.iter().all(|s| s.over && s.updates == updates), "{mode}: {standing:?}");
        assert!(mode.bound().is_none_or(|bound| standing.iter().all(|s| s.greatest_staleness <= bound)), "{mode}: {standing:?}");
    }
    SUITE.ran(1);
}

/// Either of two servers is killed in the middle and goes on from its checkpoint: workers do again what it has lost, and the other takes nothing twice.
#[test]
fn a_shard_that_is_killed_and_restored() {
    for (dies, mode, updates) in [(0, "sync", 39), (1, "sync", 39), (1, "semi-async:1", 78)] {
        let folder = Folder::with(&unclipped());
        let addrs = [free_port(), free_port()];
        let start = |i: usize| {
            let (shard, file) = (["1/2", "2/2"][i], ["run.1", "run.2"][i]);
            let of = ["--workers", "2", "--shard", shard, "--listen", &addrs[i]];
            folder
                .ps(&[&of[..], &["--mode", mode, "--deadline", "30", "--checkpoint", file, "--checkpoint-every", "10", "--resume"]]
                    .concat())
        };
        let mut ps = [0, 1].map(|i| Some(start(i)));
        let pushes = Arc::new(AtomicU64::new(0));
        let done = std::thread::scope(|scope| {
            let workers = [0, 1].map(|rank| {
                let (addrs, seen) = (&addrs, pushes.clone());
                let before = move |clock| {
                    seen.fetch_max(clock, SeqCst);
                };
                scope.spawn(move || shares(addrs, Worker::new(rank, 2), Connect::new(), 25, before))
            });
            while pushes.load(SeqCst) < 14 {
                std::thread::sleep(Duration::from_millis(5));
            }
            let killed = ps[dies].take().unwrap().process;
            killed.signal(libc::SIGKILL);
            assert!(!killed.ends().0);
            ps[dies] = Some(start(dies));
            workers.map(|w| w.join().unwrap())
        });
        let said = ps.map(|ps| ps.unwrap().process.ends_well());
        assert!(!said[dies].contains(" 0 updates behind it") && said[dies].contains("0 updates behind it"), "{said:?}");
        assert!(said.iter().all(|s| s.contains(&format!("{updates} updates in"))), "{said:?}");
        // what is done again the other knows
        let again: Vec<u64> = done.iter().map(|(report, _)| report.pushes - 39).collect();
        assert!(again.iter().all(|n| (1..10).contains(n)), "{again:?}: {said:?}");
        assert!(!said[1 - dies].contains("; 0 pushes came twice"), "{said:?}");
        assert!(bits(&done[0].1) == bits(&done[1].1));
        let loss = |m: &Model| m.evaluate(&data(), 203).unwrap()["loss"];
        let (found, undisturbed) = (loss(&done[0].1), loss(&of_one_server()));
        assert!((found - undisturbed).abs() < 0.2, "{found}, and {undisturbed} of a run that nobody disturbed");
        SUITE.ran(1);
    }
}

/// A gradient that f16 cannot hold in the range of one server is void for both.
#[test]
fn a_gradient_beyond_f16_is_void_for_all() {
    let model = || {
        let settings = Compile::new(Sgd::new(0.01), CrossEntropy::new()).input([784]).seed(3).device(Device::cpu_threads(1));
        Sequential::new().add(Linear::new(10)).compile(settings.precision(Precision::mixed())).unwrap()
    };
    let servers = [0, 1].map(|index| Server::new(model(), Rules::new(1).shard(index, 2)).unwrap());
    let serving = [0, 1].map(|i: usize| serve(servers[i].clone(), Serve::new("127.0.0.1:0")).unwrap());
    struct Huge<E>(E);
    impl<E: Exchange> Exchange for Huge<E> {
        fn mode(&mut self) -> gradus::Result<Mode> {
            self.0.mode()
        }
        fn join(&mut self, hello: &Hello) -> gradus::Result<Welcome> {
            self.0.join(hello)
        }
        fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
            self.0.pull(clock, into)
        }
        fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
            let mut values = values.to_vec();
            if let (3, Some(last)) = (push.clock, values.last_mut()) {
                *last = f32::to_bits(-65_520.0);
            }
            self.0.push(push, &values, buffers)
        }
        fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
            self.0.leave(done)
        }
    }
    let addrs = [0, 1].map(|i: usize| serving[i].addr().to_string());
    let mut link = Huge(connect_shards(&addrs, Connect::new().half(true).deadline(20.0)).unwrap());
    model().worker(&mut link, Worker::new(0, 1)).run(&data(), &recipe().fit).unwrap();
    assert_eq!(servers.map(|s| (s.standing().updates, s.standing().skipped)), [(77, 1); 2]);
    SUITE.ran(1);
}

/// Says once that its server must be joined again, and counts how often it was.
struct Lost {
    link: Box<dyn Exchange>,
    at: Option<u64>,
    joins: Arc<AtomicU64>,
}

impl Exchange for Lost {
    fn mode(&mut self) -> gradus::Result<Mode> {
        self.link.mode()
    }
    fn join(&mut self, hello: &Hello) -> gradus::Result<Welcome> {
        self.joins.fetch_add(1, SeqCst);
        self.link.join(hello)
    }
    fn pull(&mut self, clock: u64, into: &mut Pulled) -> gradus::Result<Reply> {
        if self.at.take_if(|at| *at == clock).is_some() { Ok(Reply::Rejoin) } else { self.link.pull(clock, into) }
    }
    fn push(&mut self, push: &Push, values: &[u32], buffers: &[u32]) -> gradus::Result<Reply> {
        self.link.push(push, values, buffers)
    }
    fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
        self.link.leave(done)
    }
}

/// A worker that waits at one server for another worker, which may wait for it at the other server, does not wait on once that one must be joined again.
#[test]
fn a_wait_ends_where_another_server_must_be_joined() {
    for network in [false, true] {
        let (servers, serving, addrs) = both(Rules::new(2).deadline(30.0));
        let link = |i: usize| -> Box<dyn Exchange> {
            if network { Box::new(connect(&addrs[i], Connect::new().deadline(20.0)).unwrap()) } else { Box::new(servers[i].link()) }
        };
        let joins = Arc::new(AtomicU64::new(0));
        let done = std::thread::scope(|scope| {
            let waits = Shards::new(vec![link(0), Box::new(Lost { link: link(1), at: Some(3), joins: joins.clone() })]).unwrap();
            let seen = joins.clone();
            let before = move |clock| {
                let began = std::time::Instant::now();
                while clock == 2 && seen.load(SeqCst) < 2 {
                    assert!(began.elapsed() < Duration::from_secs(20), "the other one waits for this push, and nothing else");
                    std::thread::sleep(Duration::from_millis(5));
                }
            };
            let slow = Paced { link: Shards::new(vec![link(0), link(1)]).unwrap(), pause: Duration::ZERO, before: Box::new(before) };
            let work = |rank, mut link: Box<dyn Exchange>| {
                let mut model = compiled();
                model.worker(&mut *link, Worker::new(rank, 2)).run(&data(), &recipe().fit).unwrap();
                bits(&model)
            };
            let all: [Box<dyn Exchange>; 2] = [Box::new(waits), Box::new(slow)];
            let threads: Vec<_> = all.into_iter().enumerate().map(|(rank, link)| scope.spawn(move || work(rank, link))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        });
        drop(serving);
        let one = bits(&of_one_server());
        assert!(done.iter().all(|found| *found == one), "over the network: {network}");
    }
    SUITE.ran(1);
}

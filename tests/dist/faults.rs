//! Somebody is killed, hangs, or is there twice.

use super::*;
use gradus::server::{Event, Flow};
use processes::free_port;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

/// Tells of updates, and takes its time for each, so that a run lasts until somebody is killed.
fn told(server: &Server, pause: u64) -> mpsc::Receiver<u64> {
    let (tell, hear) = mpsc::channel();
    server.watch(move |event| {
        if let Event::Update { number, .. } = event {
            let _ = tell.send(number);
            std::thread::sleep(Duration::from_millis(pause));
        }
        Ok(Flow::Go)
    });
    hear
}

fn after(hear: &mpsc::Receiver<u64>, update: u64) {
    while hear.recv_timeout(Duration::from_secs(60)).unwrap() < update {}
}

/// A worker is killed in the middle, and started again.
#[test]
fn a_worker_that_is_killed_and_started_again() {
    let folder = Folder::new();
    let (server, serving, addr) = served(Rules::new(2));
    let hear = told(&server, 10);
    let steady = folder.worker(&addr, 0, 2, &[]);
    let killed = folder.worker(&addr, 1, 2, &[]);
    after(&hear, 10);
    killed.signal(libc::SIGKILL);
    assert!(!killed.ends().0);
    let again = folder.worker(&addr, 1, 2, &[]);
    let said = again.ends_well();
    assert!(said.contains("worker 1: began with push 1") || said.contains("worker 1: began with push 2"), "{said}");
    steady.ends_well();
    serving.wait().unwrap();
    serving.stop();
    assert!(bits(&server.into_model().unwrap()) == undisturbed());
    SUITE.ran(1);
}

/// The server is killed in the middle and goes on from its checkpoint; workers join it again by themselves.
#[test]
fn a_server_that_is_killed_and_restored() {
    let folder = Folder::new();
    let port = free_port();
    let args =
        ["--workers", "2", "--listen", &port, "--checkpoint", "run.gradus", "--checkpoint-every", "5", "--resume", "--save", "weights"];
    let ps = folder.ps(&args);
    let pushes = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        let workers = [0, 1].map(|rank| {
            let (port, pushes) = (&port, pushes.clone());
            let before = move |clock| {
                pushes.fetch_max(clock, SeqCst);
            };
            scope.spawn(move || works(port, Worker::new(rank, 2), 15, before).unwrap())
        });
        while pushes.load(SeqCst) < 18 {
            std::thread::sleep(Duration::from_millis(5));
        }
        ps.process.signal(libc::SIGKILL);
        assert!(!ps.process.ends().0);
        let again = folder.ps(&args);
        assert!(!again.process.said().contains(" 0 updates behind"), "{}", again.process.said());
        let reports = workers.map(|w| w.join().unwrap());
        let said = again.process.ends_well();
        // at most 5 updates and those that were made while a file was written are done twice
        let twice: Vec<u64> = reports.iter().map(|r| r.pushes - 39).collect();
        assert!(twice.iter().all(|t| *t <= 10), "{twice:?}: {said}");
    });
    assert!(saved(&folder.at("weights")) == undisturbed());
    SUITE.ran(1);
}

/// SIGTERM: the checkpoint is written, and the run can go on.
#[test]
fn a_server_that_is_asked_to_end_writes_its_checkpoint() {
    let folder = Folder::new();
    let port = free_port();
    let args = ["--workers", "1", "--listen", &port, "--checkpoint", "run.gradus", "--checkpoint-every", "1000000", "--resume"];
    let ps = folder.ps(&args);
    let pushes = Arc::new(AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (port, seen) = (&port, pushes.clone());
        let worker = scope.spawn(move || works(port, Worker::new(0, 1), 10, move |clock| seen.store(clock, SeqCst)).unwrap());
        while pushes.load(SeqCst) < 20 {
            std::thread::sleep(Duration::from_millis(5));
        }
        ps.process.signal(libc::SIGTERM);
        let said = ps.process.ends_well();
        assert!(said.contains("ended by a signal after"), "{said}");
        let again = folder.ps(&args);
        let report = worker.join().unwrap();
        assert!(report.pushes <= 79, "{report:?}");
        again.process.ends_well();
    });
    SUITE.ran(1);
}

/// Ctrl-C ends `gradus train` in good order: what was trained is there.
#[test]
fn a_run_in_one_process_that_is_interrupted() {
    let folder = Folder::new();
    let run = folder.train(&["--workers", "2", "--epochs", "1000000", "--save", "weights", "--device", "cpu"]);
    let began = Instant::now();
    // it says a line of each epoch
    while !run.said().contains("epoch 2/") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", run.said());
        std::thread::sleep(Duration::from_millis(5));
    }
    run.signal(libc::SIGINT);
    let said = run.ends_well();
    assert!(said.contains("interrupted in epoch") && said.contains("updates in"), "{said}");
    assert!(!saved(&folder.at("weights")).is_empty());
    SUITE.ran(1);
}

/// Two workers of one rank: the newer is served, the older is told.
#[test]
fn a_second_worker_of_a_rank() {
    let folder = Folder::new();
    let (server, serving, addr) = served(Rules::new(1));
    let newer = Arc::new(Mutex::new(None));
    let started = newer.clone();
    let (at, dir) = (addr.clone(), Arc::new(folder));
    let within = dir.clone();
    let before = move |clock| {
        if clock == 3 {
            *started.lock().unwrap() = Some(within.worker(&at, 0, 1, &[]));
            // until it has the place
            std::thread::sleep(Duration::from_millis(1500));
        }
    };
    let e = works(&addr, Worker::new(0, 1), 0, before).unwrap_err();
    assert!(e.code() == "distributed" && e.to_string().contains("a newer worker has taken this one's rank"), "{e}");
    let said = newer.lock().unwrap().take().unwrap().ends_well();
    assert!(said.contains("began with push 3"), "{said}");
    serving.wait().unwrap();
    assert_eq!(server.standing().updates, 78);
    SUITE.ran(1);
}

/// A worker that hangs ends a run in step at the deadline; out of step the run goes on without it.
#[test]
fn a_worker_that_hangs() {
    for (mode, goes_on) in [(Mode::Sync, false), (Mode::SemiAsync { staleness: 1 }, true)] {
        let folder = Folder::new();
        let (server, serving, addr) = served(Rules::new(2).mode(mode).deadline(3.0));
        let hear = told(&server, 5);
        let steady = folder.worker(&addr, 0, 2, &[]);
        let hangs = folder.worker(&addr, 1, 2, &[]);
        after(&hear, 5);
        hangs.signal(libc::SIGSTOP);
        let began = Instant::now();
        let (well, said) = steady.ends();
        assert_eq!(well, goes_on, "{said}");
        assert!(goes_on || said.contains("nothing has come from worker 1"), "{said}");
        let ended = serving.wait();
        assert_eq!(ended.is_ok(), goes_on, "{ended:?}");
        assert!(began.elapsed() < Duration::from_secs(30));
        hangs.signal(libc::SIGKILL);
    }
    SUITE.ran(1);
}

/// A slow link is slow, and nothing else.
#[test]
fn a_slow_link_is_only_slow() {
    let (server, serving, addr) = served(Rules::new(2));
    let slow = proxy::paced(&addr, 4_000_000);
    std::thread::scope(|scope| {
        for (rank, addr) in [&addr, &slow].into_iter().enumerate() {
            scope.spawn(move || works(addr, Worker::new(rank, 2), 0, |_| {}).unwrap());
        }
    });
    serving.wait().unwrap();
    serving.stop();
    assert!(bits(&server.into_model().unwrap()) == undisturbed());
    SUITE.ran(1);
}

/// A worker ends with the process that has started it, if it is asked to.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_dies_with_its_parent() {
    let folder = Folder::new();
    let addr = free_port(); // nobody listens: it asks until its deadline
    let worker = folder.command("worker", &["--server", &addr, "--rank", "0", "--world", "1", "--die-with-parent"]);
    let mut parent = std::process::Command::new("sh");
    parent.args(["-c", "\"$0\" \"$@\" & echo $!; wait"]).arg(worker.get_program()).args(worker.get_args());
    let mut parent =
        parent.current_dir(folder.at(".")).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(parent.stdout.take().unwrap()), &mut line).unwrap();
    let there = format!("/proc/{}/cmdline", line.trim());
    // the shell's child becomes the program, and then has asked for it
    std::thread::sleep(Duration::from_millis(700));
    assert!(String::from_utf8_lossy(&std::fs::read(&there).unwrap()).contains("--die-with-parent"));
    parent.kill().unwrap();
    parent.wait().unwrap();
    let began = Instant::now();
    while std::fs::read(&there).is_ok_and(|line| !line.is_empty()) {
        assert!(began.elapsed() < Duration::from_secs(10), "it lives on");
        std::thread::sleep(Duration::from_millis(20));
    }
    SUITE.ran(1);
}

/// A worker is killed while it waits for the others: nothing was awaited of it then, and now it is. In step the run ends and names it, else it goes on.
#[test]
fn a_worker_that_is_killed_while_it_waits() {
    for (mode, goes_on) in [(Mode::Sync, false), (Mode::SemiAsync { staleness: 1 }, true)] {
        let folder = Folder::new();
        let (server, serving, addr) = served(Rules::new(2).mode(mode).deadline(3.0));
        let waits = folder.worker(&addr, 0, 2, &[]);
        let until = Instant::now() + Duration::from_secs(60);
        while server.standing().present == 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        waits.signal(libc::SIGKILL);
        waits.ends();
        let (well, said) = folder.worker(&addr, 1, 2, &[]).ends();
        assert_eq!(well, goes_on, "{mode}: {said}");
        assert!(goes_on || said.contains("worker 0"), "{said}");
        assert_eq!(serving.wait_for(10.0).map(|e| e.is_ok()), Some(goes_on), "{mode}");
        SUITE.ran(1);
    }
}

/// The server ends while one worker's push is held for the other's: the file has no half of a clock, and the run comes to the bits of one that was left alone.
#[test]
fn a_checkpoint_in_the_middle_of_a_clock() {
    let folder = Folder::new();
    let port = free_port();
    let args = [
        "--workers",
        "2",
        "--listen",
        &port,
        "--checkpoint",
        "run.gradus",
        "--checkpoint-every",
        "1000000",
        "--resume",
        "--save",
        "weights",
    ];
    let ps = folder.ps(&args);
    let (first, second) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    std::thread::scope(|scope| {
        let (port, seen) = (&port, first.clone());
        let quick = scope.spawn(move || works(port, Worker::new(0, 2), 0, move |clock| seen.store(clock, SeqCst)).unwrap());
        let seen = second.clone();
        let slow = move |clock| {
            seen.store(clock, SeqCst);
            if clock == 9 {
                std::thread::sleep(Duration::from_millis(1500));
            }
        };
        let slow = scope.spawn(move || works(port, Worker::new(1, 2), 0, slow).unwrap());
        while second.load(SeqCst) < 9 {
            std::thread::sleep(Duration::from_millis(5));
        }
        // the other's push of clock 9 is there meanwhile
        std::thread::sleep(Duration::from_millis(500));
        ps.process.signal(libc::SIGTERM);
        ps.process.ends_well();
        let again = folder.ps(&args);
        quick.join().unwrap();
        slow.join().unwrap();
        again.process.ends_well();
    });
    assert!(saved(&folder.at("weights")) == undisturbed());
    SUITE.ran(1);
}

/// Gradients that f16 cannot hold: under a loss scale the update is void, without one all are told whose they are, and that worker why.
#[test]
fn gradients_beyond_f16() {
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
            if push.clock == 3 {
                values[5] = f32::to_bits(-65_520.0);
            }
            self.0.push(push, &values, buffers)
        }
        fn leave(&mut self, done: bool) -> gradus::Result<Reply> {
            self.0.leave(done)
        }
    }
    for scaled in [false, true] {
        let model = |device: &Device| {
            let settings = Compile::new(Sgd::new(0.01), CrossEntropy::new()).input([784]).seed(3).device(device.clone());
            let settings = if scaled { settings.precision(Precision::mixed()) } else { settings };
            Sequential::new().add(Linear::new(10)).compile(settings).unwrap()
        };
        let server = Server::new(model(&Device::cpu()), Rules::new(2)).unwrap();
        let serving = serve(server.clone(), Serve::new("127.0.0.1:0")).unwrap();
        let addr = serving.addr().to_string();
        let work = |rank: usize| {
            let link = connect(&addr, Connect::new().half(true).deadline(20.0)).unwrap();
            let mut link: Box<dyn Exchange> = if rank == 1 { Box::new(Huge(link)) } else { Box::new(link) };
            model(&Device::cpu_threads(1)).worker(&mut *link, Worker::new(rank, 2)).run(&data(), &recipe().fit).map_err(|e| e.to_string())
        };
        let work = &work;
        let done = std::thread::scope(|scope| [0, 1].map(|rank| scope.spawn(move || work(rank))).map(|t| t.join().unwrap()));
        if scaled {
            assert!(done.iter().all(Result::is_ok), "{done:?}");
            assert_eq!(server.standing().skipped, 1);
        } else {
            let errors = done.map(Result::unwrap_err);
            assert!(errors[0].contains("gradients of worker 1 are not finite"), "{errors:?}");
            assert!(errors[1].contains("worker 1") && errors[1].contains("f16") && errors[1].contains("as f32"), "{errors:?}");
        }
        SUITE.ran(1);
    }
    // parameters would lose most of their digits
    let (_server, _serving, addr) = served(Rules::new(1).mode(Mode::Local { every: 2 }));
    let e = connect(&addr, Connect::new().half(true)).unwrap_err();
    assert!(e.code() == "invalid-config" && e.to_string().contains("half"), "{e}");
}

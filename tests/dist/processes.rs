//! The program `gradus` as processes of a test: bounded in time, and gone with it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take.
const MOST: Duration = Duration::from_secs(60);

/// A folder with the recipe, where processes run.
pub struct Folder(tempfile::TempDir);

/// A process, and the file that has its stderr.
pub struct Process {
    child: Child,
    said: PathBuf,
}

pub struct Ps {
    pub process: Process,
    pub addr: String,
}

impl Folder {
    pub fn new() -> Self {
        Self::with(&super::recipe())
    }

    pub fn with(recipe: &super::Recipe) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("recipe.toml"), toml::to_string(recipe).unwrap()).unwrap();
        Folder(folder)
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut c = Command::new(env!("CARGO_BIN_EXE_gradus"));
        c.args([name, "recipe.toml"]).args(args).current_dir(self.0.path()).stdin(Stdio::null());
        c
    }

    /// Its stdout goes where its stderr goes, unless it is given.
    fn start(&self, mut c: Command, stdout: Option<Stdio>) -> Process {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let said = self.at(&format!("said.{}", NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
        let err = File::create(&said).unwrap();
        let out = stdout.unwrap_or_else(|| err.try_clone().unwrap().into());
        let child = c.stderr(err).stdout(out).spawn().unwrap();
        Process { child, said }
    }

    /// A server that listens.
    pub fn ps(&self, args: &[&str]) -> Ps {
        let mut process = self.start(self.command("ps", args), Some(Stdio::piped()));
        let mut line = String::new();
        let mut out = BufReader::new(process.child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let Some(addr) = line.trim().strip_prefix("listening on ") else { panic!("{line}{}", process.said()) };
        let addr = addr.to_string();
        // what comes later goes to the file, too
        let mut file = File::options().append(true).open(&process.said).unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut file));
        Ps { process, addr }
    }

    pub fn worker(&self, addr: &str, rank: usize, world: usize, args: &[&str]) -> Process {
        let (rank, world) = (rank.to_string(), world.to_string());
        let mut c = self.command("worker", &["--server", addr, "--rank", &rank, "--world", &world, "--threads", "1"]);
        c.args(args);
        self.start(c, None)
    }
}

impl Folder {
    /// Workers and server in one process, which says what it does.
    pub fn train(&self, args: &[&str]) -> Process {
        let recipe = std::fs::read_to_string(self.at("recipe.toml")).unwrap().replace("verbose = 0", "verbose = 1");
        std::fs::write(self.at("recipe.toml"), recipe).unwrap();
        self.start(self.command("train", args), None)
    }
}

impl Process {
    pub fn id(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is a child of ours that nobody has waited for: its number is nobody else's.
        assert_eq!(unsafe { libc::kill(self.id(), signal) }, 0);
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits for its end. Gives whether it ended well, and what it has said.
    pub fn ends(mut self) -> (bool, String) {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // the thread that copies its stdout
                std::thread::sleep(Duration::from_millis(50));
                return (status.success(), self.said());
            }
            assert!(began.elapsed() < MOST, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn ends_well(self) -> String {
        let (well, said) = self.ends();
        assert!(well, "{said}");
        said
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free, and stays so until its server is there, or there again: it is none of those that the system gives to whoever connects.
pub fn free_port() -> String {
    static TAKEN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    loop {
        let number = TAKEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let addr = format!("127.0.0.1:{}", 10_000 + (std::process::id() % 1_000 * 20 + number) % 20_000);
        if std::net::TcpListener::bind(&addr).is_ok() {
            return addr;
        }
    }
}

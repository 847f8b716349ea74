//! What a playlist is made of that leads ffmpeg astray: half a second of film, and a port that counts who came.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::net::TcpListener;

/// A port that counts who connects.
pub struct Trap {
    pub port: u16,
    strayed: Arc<AtomicUsize>,
}

impl Trap {
    pub async fn start() -> Trap {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let strayed = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&strayed);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Trap { port, strayed }
    }

    pub fn strayed(&self) -> usize {
        self.strayed.load(Ordering::SeqCst)
    }
}

/// Makes half a second of film at `path`, and gives its bytes.
pub fn half_a_second(path: &Path) -> Vec<u8> {
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=s=320x180:d=0.5",
        ])
        .args(["-c:v", "libx264", "-preset", "ultrafast"])
        .arg(path)
        .status();
    assert!(made.unwrap().success());
    fs::read(path).unwrap()
}

//! The way from one operator to Prometheus, which can fall silent without anybody else noticing.

use anyhow::Result;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A metrics provider as the operator of one story knows it.
pub struct Way {
    address: String,
    silent: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Way {
    /// A way to this address.
    pub async fn to(provider: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let (silent, told) = watch::channel(false);
        let task = tokio::spawn(lead(listener, provider, told));
        Ok(Self { address, silent, task })
    }

    /// What is asked instead of the provider.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on connections are taken, and nothing is ever answered; those that are open break off.
    pub fn fall_silent(&self) {
        self.silent.send_replace(true);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(listener: TcpListener, provider: String, silent: watch::Receiver<bool>) {
    // They end with this set.
    let mut ways = JoinSet::new();
    while let Ok((here, _)) = listener.accept().await {
        ways.spawn(pass(here, provider.clone(), silent.clone()));
        while ways.try_join_next().is_some() {}
    }
}

async fn pass(mut here: TcpStream, provider: String, mut silent: watch::Receiver<bool>) {
    if *silent.borrow_and_update() {
        return std::future::pending().await;
    }
    let Ok(mut there) = TcpStream::connect(provider).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut here, &mut there) => {}
        _ = silent.wait_for(|silent| *silent) => {}
    }
}

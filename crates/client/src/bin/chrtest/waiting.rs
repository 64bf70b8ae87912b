// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads that wait, and what ends the wait: a byte, or a signal.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use blockyard_client::chrdev::ByteDevice;
use rustix::thread::gettid;

use crate::bytes::{contents, events};
use crate::outcome;

/// The size of the buffer of the long read. It is given 1024 times, which makes 2 GiB, the most that one read serves.
const BUFFER: usize = 2 << 20;

/// How long between two signals.
const INTERVAL_US: i64 = 10_000;

/// Waits in a read and in a poll, each in a thread, and sets a byte once both wait.
pub(crate) fn wake(device: &Path) -> io::Result<()> {
    let control = ByteDevice::open(device).map_err(io::Error::other)?;
    control.clear().map_err(io::Error::other)?;
    std::thread::scope(|scope| {
        let (sender, threads) = mpsc::channel();
        let (reader, poller) = (sender.clone(), sender);
        let read = scope.spawn(move || {
            let mut file = File::open(device)?;
            let mut bytes = [0; 5];
            let _ = reader.send(gettid());
            file.read(&mut bytes).map(|count| format!("{count} bytes: {}", contents(&bytes[..count])))
        });
        let poll = scope.spawn(move || {
            let file = File::open(device)?;
            let _ = poller.send(gettid());
            events(&file, None)
        });
        for thread in threads.iter().take(2) {
            until_in_system_call(
                thread.as_raw_nonzero().get(),
                &[libc::SYS_read, libc::SYS_poll, libc::SYS_ppoll],
            )?;
        }
        control.set(b'W').map_err(io::Error::other)?;
        let joined = |thread: std::thread::ScopedJoinHandle<'_, io::Result<String>>| {
            thread.join().map_err(|_| io::Error::other("a thread panicked"))?
        };
        println!("read: {}\npoll: {}", joined(read)?, joined(poll)?);
        Ok(())
    })
}

/// Returns once a thread of ours sleeps in one of these system calls.
pub(crate) fn until_in_system_call(thread: i32, numbers: &[i64]) -> io::Result<()> {
    loop {
        // `running`, or the number of the call that it sleeps in and its arguments.
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall"))?;
        let number = text.split(' ').next().and_then(|word| word.trim().parse().ok());
        if number.is_some_and(|number: i64| numbers.contains(&number)) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Reads while signals come: without a byte, and then 2 GiB of it.
pub(crate) fn signals(device: &Path) -> io::Result<()> {
    let control = ByteDevice::open(device).map_err(io::Error::other)?;
    control.clear().map_err(io::Error::other)?;
    let mut file = File::open(device)?;
    alarm_clock()?;
    println!("waiting: {}", outcome(file.read(&mut [0]).map(drop)));

    control.set(b'L').map_err(io::Error::other)?;
    let mut buffer = vec![0; BUFFER];
    let count = read_into_one_buffer(&file, &mut buffer)?;
    let whole = 0x7fff_f000;
    let cut = if (1..whole).contains(&count) { "part of it" } else { "all or nothing of it" };
    println!("long: {cut}, {}", contents(&buffer[..count.min(BUFFER)]));
    Ok(())
}

/// Reads 1024 times the size of the buffer at once; each piece overwrites the one before.
fn read_into_one_buffer(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let pieces = [piece; 1024];
    // SAFETY: every piece is the buffer, which is borrowed exclusively, and any bytes are bytes. That pieces overlap is the
    // kernel's to put up with.
    match unsafe { libc::readv(file.as_raw_fd(), pieces.as_ptr(), pieces.len() as i32) } {
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count as usize),
    }
}

/// Has a signal come every few milliseconds, whose handler does nothing, and after which no call begins anew.
fn alarm_clock() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all zeroes are an action without flags (so without `SA_RESTART`) and with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
    let every = libc::timeval { tv_sec: 0, tv_usec: INTERVAL_US };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: both structs are initialised; the handler does nothing, so it may run at any time.
    let failed = unsafe {
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) != 0
            || libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) != 0
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

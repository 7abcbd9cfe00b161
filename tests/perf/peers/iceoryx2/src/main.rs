//! iceoryx2 request-response and publish-subscribe, both sides polling, a process each.
//! `peer_iceoryx2 call|stream|frame ROUNDS`: prints nanoseconds of the median round trip (of a call, of a loaned frame of
//! 4 MiB), or messages a second.
use iceoryx2::prelude::*;
use std::time::Instant;

type Any = Box<dyn core::error::Error>;

#[derive(Debug, Clone, Copy, ZeroCopySend)]
#[repr(C)]
pub struct Uniform {
    location: i32,
    v: [f32; 4],
    spare: [u32; 11],
}

fn name(what: &str, of: u32) -> Result<ServiceName, Any> {
    Ok(format!("hyplink-peer-{what}-{of}").as_str().try_into()?)
}

const FRAME: usize = 4 << 20;
type Frames = iceoryx2::service::port_factory::publish_subscribe::PortFactory<ipc::Service, [u8], ()>;
type Sender = iceoryx2::port::publisher::Publisher<ipc::Service, [u8], ()>;
type Taker = iceoryx2::port::subscriber::Subscriber<ipc::Service, [u8], ()>;

fn frames(node: &Node<ipc::Service>, what: &str, of: u32) -> Result<Frames, Any> {
    Ok(node.service_builder(&name(what, of)?).publish_subscribe::<[u8]>().open_or_create()?)
}

/// Both directions, once the other side has them, too. The services live as long as their ports are used.
fn frame_end(out: &Frames, back: &Frames) -> Result<(Sender, Taker), Any> {
    let sender = out.publisher_builder().initial_max_slice_len(FRAME).create()?;
    let taker = back.subscriber_builder().create()?;
    while out.dynamic_config().number_of_subscribers() == 0 || back.dynamic_config().number_of_publishers() == 0 {
        core::hint::spin_loop();
    }
    Ok((sender, taker))
}

/// Its ends are written; nothing else of the frame is touched.
fn send_frame(sender: &Sender, value: u64) -> Result<(), Any> {
    let mut sample = sender.loan_slice_uninit(FRAME)?;
    let frame = sample.payload_mut();
    for (at, byte) in value.to_le_bytes().iter().enumerate() {
        frame[at].write(*byte);
        frame[FRAME - 8 + at].write(*byte);
    }
    unsafe { sample.assume_init() }.send()?;
    Ok(())
}

fn take_frame(taker: &Taker) -> Result<u64, Any> {
    loop {
        if let Some(sample) = taker.receive()? {
            assert_eq!(sample[..8], sample[FRAME - 8..]);
            return Ok(u64::from_le_bytes(sample[..8].try_into()?));
        }
        core::hint::spin_loop();
    }
}

fn serve(mode: &str, of: u32, rounds: u64) -> Result<(), Any> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    if mode == "call" {
        let service = node.service_builder(&name(mode, of)?).request_response::<[i32; 2], i32>().open_or_create()?;
        let server = service.server_builder().create()?;
        for _ in 0..rounds {
            loop {
                if let Some(request) = server.receive()? {
                    request.send_copy(request[0].wrapping_add(request[1]))?;
                    break;
                }
                core::hint::spin_loop();
            }
        }
        return Ok(());
    }
    if mode == "frame" {
        let (there, back) = (frames(&node, "there", of)?, frames(&node, "back", of)?);
        let (sender, taker) = frame_end(&back, &there)?;
        for _ in 0..rounds {
            send_frame(&sender, take_frame(&taker)? + 1)?;
        }
        // Stay until the other side has taken the last one.
        while there.dynamic_config().number_of_publishers() != 0 {
            std::thread::yield_now();
        }
        return Ok(());
    }
    let service = node
        .service_builder(&name(mode, of)?)
        .publish_subscribe::<Uniform>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(1024)
        .open_or_create()?;
    let publisher = service.publisher_builder().unable_to_deliver_strategy(UnableToDeliverStrategy::Block).create()?;
    while service.dynamic_config().number_of_subscribers() == 0 {
        core::hint::spin_loop();
    }
    for i in 0..rounds {
        let v = (i & 1023) as f32;
        let sample = publisher.loan_uninit()?;
        sample.write_payload(Uniform { location: i as i32, v: [v; 4], spare: [0; 11] }).send()?;
    }
    // Stay until the other side has taken them all.
    while service.dynamic_config().number_of_subscribers() != 0 {
        std::thread::yield_now();
    }
    Ok(())
}

fn ask(mode: &str, of: u32, rounds: u64) -> Result<f64, Any> {
    let node = NodeBuilder::new().create::<ipc::Service>()?;
    if mode == "call" {
        let service = node.service_builder(&name(mode, of)?).request_response::<[i32; 2], i32>().open_or_create()?;
        while service.dynamic_config().number_of_servers() == 0 {
            core::hint::spin_loop();
        }
        let client = service.client_builder().create()?;
        let mut took = Vec::with_capacity(rounds as usize);
        for i in 0..rounds as i32 {
            let start = Instant::now();
            let pending = client.send_copy([i, i])?;
            loop {
                if let Some(sum) = pending.receive()? {
                    assert_eq!(*sum, 2 * i);
                    break;
                }
                core::hint::spin_loop();
            }
            took.push(start.elapsed().as_nanos());
        }
        took.sort_unstable();
        return Ok(took[took.len() / 2] as f64);
    }
    if mode == "frame" {
        let (there, back) = (frames(&node, "there", of)?, frames(&node, "back", of)?);
        let (sender, taker) = frame_end(&there, &back)?;
        let mut took = Vec::with_capacity(rounds as usize);
        for i in 0..rounds {
            let start = Instant::now();
            send_frame(&sender, i + 1)?;
            assert_eq!(take_frame(&taker)?, i + 2);
            took.push(start.elapsed().as_nanos());
        }
        took.sort_unstable();
        return Ok(took[took.len() / 2] as f64);
    }
    let service = node
        .service_builder(&name(mode, of)?)
        .publish_subscribe::<Uniform>()
        .enable_safe_overflow(false)
        .subscriber_max_buffer_size(1024)
        .open_or_create()?;
    let subscriber = service.subscriber_builder().create()?;
    let mut sum = 0.0f64;
    let mut taken = 0;
    let start = Instant::now();
    while taken != rounds {
        if let Some(sample) = subscriber.receive()? {
            sum += f64::from(sample.location) + f64::from(sample.v[0] + sample.v[3]) + f64::from(sample.spare[0]);
            taken += 1;
        }
    }
    std::hint::black_box(sum);
    Ok(rounds as f64 / start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Any> {
    set_log_level(LogLevel::Error);
    let words: Vec<String> = std::env::args().collect();
    let mode = words[1].clone();
    let rounds: u64 = words[2].parse()?;
    if let Some(of) = words.get(3) {
        // Both sides spin: without the one that measures this one must not stay.
        let parent = std::os::unix::process::parent_id();
        std::thread::spawn(move || {
            while std::os::unix::process::parent_id() == parent {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            std::process::exit(1);
        });
        return serve(&mode, of.parse()?, rounds);
    }
    let me = std::process::id();
    let mut other = std::process::Command::new(&words[0]).args([&mode, &rounds.to_string(), &me.to_string()]).spawn()?;
    println!("{}", ask(&mode, me, rounds)?);
    other.wait()?;
    Ok(())
}

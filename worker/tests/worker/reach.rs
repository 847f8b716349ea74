//! Where jobs may go: real ffmpeg and real servers, which lead it astray.

use std::sync::Arc;

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use ffrtmp_api::{
    job::FailureReason,
    protocol::{Outcome, ToWorker},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::net::TcpListener;

use crate::{
    astray::{Trap, half_a_second},
    master::{Master, Session, attempt},
    node::Node,
};

const METADATA: &str = "http://169.254.169.254/latest/meta-data/iam.mp4";

/// Serves half a second of film, `film.ts`, and what leads elsewhere; on a plain port and on one with TLS.
struct Site {
    plain: u16,
    tls: u16,
    /// Connections to a port that nothing should lead to but the proxy.
    trap: Trap,
}

impl Site {
    async fn start(node: &Node) -> Site {
        let film = half_a_second(&node.media("film.ts"));
        let trap = Trap::start().await;
        let trap_port = trap.port;

        let playlist = move |lines: &str| {
            let lines = lines.replace("TRAP", &format!("127.0.0.1:{trap_port}"));
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{lines}\n#EXT-X-ENDLIST\n")
        };
        let page = move |Path(name): Path<String>| async move {
            let text = |lines: &str| playlist(lines).into_response();
            let answer: Response = match name.as_str() {
                "film.ts" => film.into_response(),
                "away.mp4" => Redirect::temporary(METADATA).into_response(),
                "away-twice.mp4" => Redirect::temporary("/away.mp4").into_response(),
                "away-tls.mp4" => {
                    Redirect::temporary("https://[::ffff:a9fe:a9fe]/a").into_response()
                }
                "good.m3u8" => {
                    text("#EXTINF:0.5,\nfilm.ts\n#EXT-X-DISCONTINUITY\n#EXTINF:0.5,\nfilm.ts")
                }
                // What comes before is real: an encode of that alone would look well.
                "segment.m3u8" => text(&format!("#EXTINF:0.5,\nfilm.ts\n#EXTINF:0.5,\n{METADATA}")),
                "key.m3u8" => text(&format!(
                    "#EXT-X-KEY:METHOD=AES-128,URI=\"{METADATA}\"\n#EXTINF:0.5,\nfilm.ts"
                )),
                "other.m3u8" => text(&format!("#EXTINF:0.5,\ncrypto+{METADATA}")),
                "tcp.m3u8" => text("#EXTINF:0.5,\ntcp://TRAP"),
                "tls.m3u8" => text("#EXTINF:0.5,\ntls://TRAP"),
                _ => StatusCode::NOT_FOUND.into_response(),
            };
            answer
        };
        let site = Router::new().route("/{name}", get(page));

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plain = listener.local_addr().unwrap().port();
        tokio::spawn(axum::serve(listener, site.clone()).into_future());
        let tls = serve_with_tls(site, &node.dir.path().join("ca.pem")).await;
        Site { plain, tls, trap }
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}/{name}", self.plain)
    }
}

async fn serve_with_tls(site: Router, ca: &std::path::Path) -> u16 {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(ca, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.into()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, site) = (acceptor.clone(), site.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(site))
                    .await;
            });
        }
    });
    port
}

async fn failed(
    session: &mut Session,
    job: u64,
    input: &str,
    output: Option<String>,
) -> (FailureReason, String) {
    session.assign(attempt(job), |spec| {
        spec.input = Some(input.into());
        spec.output = output;
        spec.encoder_preset = Some("ultrafast".into());
    });
    match session.outcome(attempt(job)).await.0 {
        Outcome::Failed { reason, message } => (reason, message),
        other => panic!("{input}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_and_no_playlist_leads_a_job_to_a_metadata_service() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    let site = Site::start(&node).await;
    node.config.media_ca = Some(node.dir.path().join("ca.pem"));
    let _running = node.start();
    let (mut session, _) = master.session().await;
    // What is allowed works, by HTTP and by TLS, through the same proxy.
    let good = [
        site.url("film.ts"),
        site.url("good.m3u8"),
        format!("https://localhost:{}/good.m3u8", site.tls),
    ];
    for (n, input) in good.iter().enumerate() {
        let job = attempt(n as u64 + 1);
        session.assign(job, |spec| {
            spec.input = Some(input.clone());
            spec.output = node.media_text(&format!("{n}.mp4"));
            spec.encoder_preset = Some("ultrafast".into());
        });
        let (_, _, result) = session.encoded(job).await;
        assert!(result.frames >= 12, "{input}: {result:?}");
        session.send(ToWorker::Revoke { attempt: job });
    }
    let tls = |name: &str| format!("https://localhost:{}/{name}", site.tls);
    let astray = [
        site.url("away.mp4"),
        site.url("away-twice.mp4"),
        site.url("away-tls.mp4"),
        site.url("segment.m3u8"),
        site.url("key.m3u8"),
        tls("away-tls.mp4"),
    ];
    for (n, input) in astray.iter().enumerate() {
        let (reason, message) =
            failed(&mut session, n as u64 + 10, input, node.media_text("x.mp4")).await;
        assert_eq!(reason, FailureReason::InputError, "{input}: {message}");
        assert!(
            message.contains("does not go to") && message.contains("no job may reach"),
            "{input}: {message}"
        );
    }
    // What ffmpeg itself takes for no segment.
    for (n, name) in ["tcp.m3u8", "tls.m3u8", "other.m3u8"].iter().enumerate() {
        failed(
            &mut session,
            n as u64 + 20,
            &site.url(name),
            node.media_text("x.mp4"),
        )
        .await;
    }
    assert_eq!(site.trap.strayed(), 0);
    // What a job names itself is its own mistake, and is said before anything runs.
    for (n, (input, output)) in [
        (METADATA, None),
        ("http://0xa9fea9fe/a.mp4", None),
        ("srt://169.254.0.1:9000", None),
        ("rtmp://[fe80::1]/live/key", None),
        (good[0].as_str(), Some("rtmps://169.254.169.254/live/key")),
        (good[0].as_str(), Some("http://169.254.169.254/put.mp4")),
    ]
    .into_iter()
    .enumerate()
    {
        let output = output.map(str::to_owned).or(node.media_text("x.mp4"));
        let (reason, message) = failed(&mut session, n as u64 + 30, input, output).await;
        assert_eq!(reason, FailureReason::UserError, "{input}: {message}");
        assert!(message.contains("no job may reach"), "{input}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_s_list_of_hosts_holds_for_inputs_redirects_and_outputs() {
    let mut master = Master::start().await;
    let mut node = Node::of(&master);
    node.config.allow_hosts = vec!["localhost".parse().unwrap()];
    let site = Site::start(&node).await;
    let _running = node.start();
    let (mut session, _) = master.session().await;
    let here = site.url("film.ts").replace("127.0.0.1", "localhost");
    session.assign(attempt(1), |spec| spec.input = Some(here));
    let (outcome, _) = session.outcome(attempt(1)).await;
    assert!(matches!(outcome, Outcome::Completed { .. }), "{outcome:?}");
    let (reason, message) = failed(&mut session, 2, &site.url("film.ts"), None).await;
    assert_eq!(reason, FailureReason::UserError);
    assert!(
        message.contains("127.0.0.1") && message.contains("--allow-host"),
        "{message}"
    );
}

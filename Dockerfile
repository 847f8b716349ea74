# Three images from one file: `master`, `worker` (with ffmpeg) and `rtmp` (nginx with its RTMP module, to try live jobs with).
#
#   docker build --target master -t ffrtmp-master:0.1.0 .
#   docker build --target worker -t ffrtmp-worker:0.1.0 .
#
# All run as user 10001 and write nowhere but in /var/lib/ffrtmp (and, the worker, where jobs' outputs go).

ARG DEBIAN=debian:12.12-slim
ARG RUST=rust:1.95.0-slim-bookworm

FROM ${RUST} AS build
WORKDIR /src
# What `ffrtmp version` and the metric ffrtmp_build_info say: `--build-arg FFRTMP_COMMIT=$(git rev-parse HEAD)`.
ARG FFRTMP_COMMIT=""
ENV FFRTMP_COMMIT=${FFRTMP_COMMIT}
COPY . .
# What cargo fetched and compiled is kept between builds; the binary is taken out of it, without what is for debuggers.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p ffrtmp && \
    strip --strip-debug -o /ffrtmp target/release/ffrtmp

FROM ${DEBIAN} AS base
RUN groupadd --gid 10001 ffrtmp && \
    useradd --uid 10001 --gid ffrtmp --home-dir /var/lib/ffrtmp --no-create-home --shell /usr/sbin/nologin ffrtmp && \
    install -d -o ffrtmp -g ffrtmp -m 0700 /var/lib/ffrtmp

FROM base AS master
COPY --from=build /ffrtmp /usr/local/bin/ffrtmp
# The policy that decides unless another is dropped in, and the others to choose from.
COPY policies/balanced.wasm /policies/
COPY policies/bundled/ /usr/share/ffrtmp/policies/
# Your own presets go there.
RUN install -d /presets
ENV FFRTMP_MASTER_LISTEN=0.0.0.0:8080 \
    FFRTMP_MASTER_METRICS_LISTEN=0.0.0.0:9090 \
    FFRTMP_MASTER_DATA_DIR=/var/lib/ffrtmp \
    FFRTMP_MASTER_POLICIES=/policies \
    FFRTMP_MASTER_PRESETS=/presets
USER 10001:10001
VOLUME /var/lib/ffrtmp
EXPOSE 8080 9090
HEALTHCHECK --interval=5s --timeout=5s --start-period=60s --retries=3 \
    CMD ["ffrtmp", "ready", "http://127.0.0.1:9090", "--retry-for", "1s"]
ENTRYPOINT ["ffrtmp"]
CMD ["master"]

FROM base AS worker
# Further packages, as in `--build-arg PACKAGES="intel-media-va-driver mesa-va-drivers"` for GPUs of Intel and AMD.
ARG PACKAGES=""
RUN apt-get update && \
    apt-get install -y --no-install-recommends ffmpeg ca-certificates ${PACKAGES} && \
    rm -rf /var/lib/apt/lists/*
COPY --from=build /ffrtmp /usr/local/bin/ffrtmp
# The last one is for NVIDIA's container runtime: what of the driver is put into the container.
ENV FFRTMP_WORKER_STATE_DIR=/var/lib/ffrtmp \
    FFRTMP_WORKER_METRICS_LISTEN=0.0.0.0:9091 \
    NVIDIA_DRIVER_CAPABILITIES=compute,video,utility
USER 10001:10001
VOLUME /var/lib/ffrtmp
EXPOSE 9091
HEALTHCHECK --interval=5s --timeout=5s --start-period=120s --retries=3 \
    CMD ["ffrtmp", "ready", "http://127.0.0.1:9091", "--retry-for", "1s"]
ENTRYPOINT ["ffrtmp"]
CMD ["worker"]

FROM base AS rtmp
RUN apt-get update && \
    apt-get install -y --no-install-recommends nginx-light libnginx-mod-rtmp && \
    rm -rf /var/lib/apt/lists/*
COPY deploy/nginx/nginx.conf /etc/nginx/nginx.conf
USER 10001:10001
EXPOSE 1935 8088
HEALTHCHECK --interval=5s --timeout=5s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/1935"]
CMD ["nginx", "-e", "stderr", "-g", "daemon off;"]

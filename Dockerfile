# flexihash in a container: a binary, Debian's C library, root certificates. About 90 MB unpacked.
#
#   docker build -t flexihash .
#   docker run -v models:/models -p 9100:9100 flexihash train --kafka broker:9092 --topic clicks --group demo \
#       --model /models/demo --metrics-listen 0.0.0.0:9100
#
# NOT BUILT BY CI: there is no Docker where the tests run. What they do check (tests/deploy.rs): the health check's command,
# against a real server; that all that is named here is there. examples/kafka has a compose file and a Kubernetes manifest.

ARG RUST=1.95
FROM rust:${RUST}-slim-bookworm AS build
# librdkafka, zstd and OpenSSL are built from their sources.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ make perl \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# kafka-ssl: most clusters want TLS or SASL. One RUN, so that the cache of the build is no layer.
RUN cargo build --release --locked --features kafka-ssl && cp target/release/flexihash /usr/local/bin/

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin flexihash \
    && install -d -o flexihash -g flexihash /models
COPY --from=build /usr/local/bin/flexihash /usr/local/bin/flexihash
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /models
VOLUME /models
EXPOSE 9100
# SIGTERM drains, commits and leaves the group: give it time (docker stop --time 60).
STOPSIGNAL SIGTERM
# For a run with --metrics-listen 0.0.0.0:9100. bash, because the image has no HTTP client.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9100 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '^HTTP/1.[01] 200 ' <&3"]
ENTRYPOINT ["flexihash"]
CMD ["--help"]

# syntax=docker/dockerfile:1
# The host with its adapters. Two stages: the first needs the toolchain, the second only the binary and the components.

FROM rust:1.95-bookworm AS builder
RUN rustup target add wasm32-wasip2
WORKDIR /build
COPY . .
# Caches stay outside of the image, so what is wanted from them is copied out within the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --locked --release --workspace --bin=host \
 && cargo xtask adapters openemr fhir \
 && mkdir -p /out/adapters /symbols \
 # The binary is shipped without its symbols, which are kept apart under the same build: a debugger finds them by name.
 && objcopy --only-keep-debug target/release/host /symbols/host.debug \
 && strip --strip-unneeded --output-file=/out/host target/release/host \
 && objcopy --add-gnu-debuglink=/symbols/host.debug /out/host \
 && cp target/adapters/openemr.wasm target/adapters/fhir.wasm /out/adapters/

# docker build --target symbols --output symbols . writes host.debug, which belongs to exactly this build.
FROM scratch AS symbols
COPY --from=builder /symbols /

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --no-create-home --home-dir /srv/neuronova host \
 && install --directory --owner=host --group=host /srv/neuronova /srv/neuronova/.host
COPY --from=builder /out/host /usr/local/bin/host
COPY --from=builder /out/adapters /usr/local/lib/host/adapters
# The folder that `host plugin install` writes to. A volume mounted at .host begins with these; a newer image does not replace them.
COPY --from=builder --chown=host:host /out/adapters /srv/neuronova/.host/adapters
COPY seeds /srv/neuronova/seeds
USER host
# host.toml is mounted here; what the host keeps for itself lies in .host beside it.
WORKDIR /srv/neuronova
VOLUME /srv/neuronova/.host
# Answers as long as the store does. A target that is down is no reason to call the host unhealthy: it waits for it.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["host", "status", "--json"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["host"]
CMD ["run"]

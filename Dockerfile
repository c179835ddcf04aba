# Two ways to the same image: a static binary, an unprivileged user, nothing else.
#   --target source     compiles in a container (the default)
#   --target prebuilt   copies a static binary from the build context; needs no registry at all
# The base images are arguments, so that a mirror, a local image or another distribution can take their place.
ARG BUILDER_IMAGE=rust:1.95-alpine
ARG RUNTIME_IMAGE=scratch

FROM ${BUILDER_IMAGE} AS builder
WORKDIR /src
COPY . .
# The target is named so that the static flag does not reach procedural macros; it works with musl and with glibc.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    host="$(rustc -vV | sed -n 's/^host: //p')" \
    && RUSTFLAGS='-C target-feature=+crt-static' \
       cargo build --release --locked --package homeostat --bin homeostat --target "$host" \
    && cp "target/$host/release/homeostat" /homeostat \
    && mkdir -p /certificates \
    && if [ -f /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt /certificates/; fi

FROM ${RUNTIME_IMAGE} AS prebuilt
ARG BINARY=target/image/homeostat
COPY --chmod=0555 ${BINARY} /homeostat
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/homeostat"]

FROM ${RUNTIME_IMAGE} AS source
COPY --from=builder /homeostat /homeostat
# Public certificate authorities, for providers outside the cluster. The API server's comes with the pod.
COPY --from=builder /certificates/ /etc/ssl/certs/
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/homeostat"]

# The image of Larder. It stands in for `registry:2`: same port, same volume, same way to start it.
#
#   docker build -t larder .
#   docker run -d -p 5000:5000 -e LARDER_ACCESS__OPEN=write -v registry-data:/var/lib/registry larder
#
# `cargo xtask dist` writes the same image without a daemon, for linux/amd64 and linux/arm64.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
# Static, so that the image holds one file and no C library. The target is named, so that build scripts stay dynamic.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --package larder --bin larder --target "$target" \
 && mkdir -p /image/usr/bin /image/bin /image/etc/ssl/certs /image/var/lib/registry /image/tmp \
 && cp "target/$target/release/larder" /image/usr/bin/larder \
 && ln -s /usr/bin/larder /image/bin/registry \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && printf 'root:x:0:0:root:/root:/sbin/nologin\nlarder:x:65532:65532::/:/sbin/nologin\n' > /image/etc/passwd \
 && printf 'root:x:0:\nlarder:x:65532:\n' > /image/etc/group \
 && printf 'hosts: files dns\n' > /image/etc/nsswitch.conf \
 && chmod 1777 /image/tmp \
 && chmod 0700 /image/var/lib/registry \
 && chown 65532:65532 /image/var/lib/registry

FROM scratch
COPY --from=build /image /
# Started as root, the program becomes the owner of the data folder: 65532 on a fresh volume, root on one that registry:2 wrote.
ENV PATH=/usr/bin:/bin LARDER_REGISTRY2__STAND_IN=true
VOLUME ["/var/lib/registry"]
EXPOSE 5000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/larder"]
CMD ["serve"]

# The gateway: nginx with both modules.  docker/entrypoint.sh makes its
# configuration from the environment; docs/operations.md lists the settings.
#
# Nothing in it needs root or a capability, and with a tmpfs at /run/gateway
# the root file system may be read-only.

ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends make gcc libc6-dev libhiredis-dev \
        libyajl-dev libsqlite3-dev libxxhash-dev libssl-dev libpcre2-dev zlib1g-dev nginx \
        nginx-dev

COPY . /src

RUN DEPS=off make -C /src build \
    && make -C /src -s install DEPS=off DESTDIR=/out \
    && strip --strip-unneeded /out/usr/lib/nginx/modules/*.so

FROM ${BASE}

ARG VERSION=1.0.0
ARG REVISION=unknown

LABEL org.opencontainers.image.title="nginx gateway" \
      org.opencontainers.image.description="nginx with a token-bucket limiter and an upstream balancer" \
      org.opencontainers.image.licenses="BSD-2-Clause" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/debian:bookworm-slim"

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y \
        --no-install-recommends nginx libhiredis0.14 libsqlite3-0 libyajl2 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
        /var/cache/debconf/*-old /etc/nginx/sites-enabled/default \
    && install -d -o www-data -g www-data -m 0755 /run/gateway \
    && install -d -o www-data -g www-data -m 0700 /var/lib/gateway

COPY --from=build /out/usr/lib/nginx/modules/ /usr/lib/nginx/modules/
COPY --from=build /out/usr/share/nginx-gateway/ /usr/share/nginx-gateway/
COPY docker/entrypoint.sh docker/healthcheck /usr/local/bin/

USER www-data
WORKDIR /
VOLUME /var/lib/gateway
EXPOSE 8080
STOPSIGNAL SIGQUIT

HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 \
    CMD ["/usr/local/bin/healthcheck"]

ENTRYPOINT ["/usr/local/bin/entrypoint.sh"]

#!/bin/sh
# docker/verify.sh
#
# Builds the images with buildah and runs them with podman, where there is no
# Docker engine: on a base made by debootstrap, in a private mount namespace,
# first over the host's network, then docker-compose.yml in a network of its
# own.  Takes root; skips, saying why, where it cannot run.
# Files are kept in VERIFY_DIR (/tmp/gateway-verify), the base for the next run.

set -eu
cd "$(dirname "$0")/.."

skip()
{
    echo "SKIPPED: $*"
    exit 0
}

die()
{
    echo "FAILED: $*" >&2
    exit 1
}

for tool in buildah podman crun debootstrap curl python3; do
    command -v "$tool" >/dev/null || skip "no $tool; on Debian: apt-get install buildah podman crun debootstrap curl python3"
done
[ "$(id -u)" = 0 ] || skip "takes root, for debootstrap and containers"

# crun takes no hybrid of both versions of control groups, and limits that may
# not be raised have to be asked for.

if [ -z "${VERIFY_INSIDE:-}" ]; then
    unshare -m true 2>/dev/null || skip "no mount namespaces here"
    VERIFY_INSIDE=yes exec unshare -m --propagation private sh "$0"
fi
umount /sys/fs/cgroup/unified 2>/dev/null || :

dir=${VERIFY_DIR:-/tmp/gateway-verify}
mirror=${MIRROR:-http://deb.debian.org/debian}
library=docker.io/library
image=$library/nginx-gateway
mkdir -p "$dir"

# shellcheck disable=SC3045  # dash and busybox have it
files=$(ulimit -n)
cat >"$dir/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$files:$files", "nproc=1024:1024"]
END
export CONTAINERS_CONF="$dir/containers.conf"

podman() { command podman --log-level=fatal "$@"; }

if ! podman image exists "$library/debian:bookworm-slim"; then
    echo 'making the base'
    [ -e "$dir/base/etc/debian_version" ] \
        || debootstrap --variant=minbase bookworm "$dir/base" "$mirror" \
            >"$dir/debootstrap.log" \
        || skip "debootstrap cannot reach $mirror"
    tar -C "$dir/base" -c . \
        | podman import - "$library/debian:bookworm-slim" >/dev/null
fi

build()
{
    echo "building $1"
    buildah bud --isolation chroot --pull-never --layers --format docker \
        --network host -t "$@" >"$dir/build.log" 2>&1 \
        || { tail -n 20 "$dir/build.log"; die "$1 cannot be built"; }
}

build "$image" .

name=gateway-verify
port=$((20000 + $$ % 10000))
backend=

clean_up()
{
    podman rm -f -t 0 "$name" >/dev/null 2>&1 || :
    [ -z "$backend" ] || kill "$backend" 2>/dev/null || :
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# The host's network, and no control groups: neither is there in a sandbox.

container()
{
    podman run --network host --cgroups=disabled --no-healthcheck \
        --read-only --tmpfs /run/gateway --cap-drop ALL \
        --security-opt no-new-privileges \
        -e BACKENDS=127.0.0.1:$((port + 1)) -e LISTEN_PORT=$port \
        -e ADMIN_LISTEN=127.0.0.1:$((port + 2)) \
        -e RATE=1000r/s -e CAPACITY=1000 -e CONNECTIONS=512 "$@"
}

inside() { container --rm --entrypoint /bin/sh "$image" -c "$1"; }

echo 'looking at it'

layers=$(podman image inspect -f '{{ .Size }}' "$image")
base=$(podman image inspect -f '{{ .Size }}' \
       "$library/debian:bookworm-slim")
echo "    size: $((layers / 1000000)) MB, $(((layers - base) / 1000000)) MB over the base's $((base / 1000000)) MB"

[ "$(podman image inspect -f '{{ .Config.User }}' "$image")" = www-data ] \
    || die "the image runs as root"
[ "$(inside 'id -u')" != 0 ] || die "the image runs as root"
[ -z "$(inside 'command -v gcc cc make clang || :')" ] \
    || die "there is a compiler in the image"
[ -z "$(inside 'find / -xdev \( -name ".*_history" -o -name "*.key" \) 2>/dev/null; :')" ] \
    || die "there is a history or a key in the image"
[ "$(podman image inspect -f '{{ .Config.StopSignal }}' "$image")" = SIGQUIT ] \
    || die "STOPSIGNAL is not SIGQUIT"
container --rm "$image" check || die "nginx -t fails as the run user"
! container --rm -e RATE=fast "$image" 2>"$dir/error" \
    || die "a wrong RATE is taken"
grep -q 'RATE is "fast"' "$dir/error" || die "a wrong RATE is not named"

echo 'running it read-only, without capabilities'

python3 docker/backend.py --port $((port + 1)) --name verify &
backend=$!

for i in $(seq 200); do
    printf 'url = "http://127.0.0.1:%d/slow?%d"\noutput = "%s"\n' \
        "$port" "$i" "$dir/slow"
done >"$dir/urls"

for signal in TERM INT QUIT; do
    container -d --name "$name" "$image" >/dev/null

    for _ in $(seq 100); do
        podman exec "$name" /usr/local/bin/healthcheck 2>/dev/null && break
        sleep 0.1
    done
    podman exec "$name" /usr/local/bin/healthcheck || die "it is not healthy"

    curl -fsS "http://127.0.0.1:$port/" >/dev/null || die "no answer"
    curl -fsS "http://127.0.0.1:$((port + 2))/upstreams" >/dev/null \
        || die "no answer of the admin server"
    curl -fsS "http://127.0.0.1:$((port + 2))/" | grep -q '<title>Gateway' \
        || die "no status page"
    [ "$(curl -s -o "$dir/421" -w '%{http_code}' -H 'Host: evil.example' \
         "http://127.0.0.1:$((port + 2))/clients")" = 421 ] \
        || die "the admin server answers to any name"

    curl -s -Z --parallel-max 200 --parallel-immediate -K "$dir/urls" \
        -w '%{http_code}\n' >"$dir/codes" 2>"$dir/error" &
    load=$!

    for _ in $(seq 100); do
        active=$(curl -s "http://127.0.0.1:$((port + 2))/status" \
                 | sed -n 's/.*Writing: \([0-9]*\).*/\1/p')
        [ "${active:-0}" -le 200 ] || break
        sleep 0.1
    done
    [ "${active:-0}" -gt 200 ] || die "200 requests are not in flight"

    podman kill -s "$signal" "$name" >/dev/null
    wait "$load" || :
    [ "$(grep -c '^200$' "$dir/codes")" = 200 ] \
        || die "SIG$signal: requests in flight are lost: $(sort "$dir/codes" | uniq -c | tr '\n' ' ')"
    status=$(podman wait "$name")
    [ "$status" = 0 ] || die "SIG$signal: exit code $status"
    podman rm "$name" >/dev/null
    echo "    SIG$signal: 200 of 200 requests in flight finished, exit code 0"
done

# Of the images that docker-compose.yml takes from a registry, those that are
# in Debian.

if ! unshare -n true 2>/dev/null; then
    skip "docker-compose.yml: no network namespaces here"
fi
for tool in docker-compose aardvark-dns iptables ip promtool; do
    PATH=$PATH:/usr/lib/podman command -v "$tool" >/dev/null \
        || skip "docker-compose.yml: no $tool; on Debian: apt-get install docker-compose netavark aardvark-dns iptables iproute2 prometheus"
done

build "$library/nginx-gateway-backend" -f docker/backend.Dockerfile .

debian()
{
    packages=$1
    tag=$2
    {
        echo "FROM debian:bookworm-slim"
        echo "RUN apt-get update && apt-get install -y --no-install-recommends $packages"
        cat
    } >"$dir/Dockerfile"
    build "$tag" -f "$dir/Dockerfile" "$dir"
}

# the server of the official image is built without the protected mode

debian redis-server "$library/redis:7-bookworm" <<'END'
WORKDIR /data
VOLUME /data
ENTRYPOINT ["/bin/sh", "-c", "exec \"$@\" --protected-mode no", "sh"]
END

debian prometheus "$(sed -n 's/^ *image: prom/docker.io\/prom/p' docker-compose.yml)" <<'END'
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/tmp/prometheus"]
END

unshare -n docker/verify-compose.sh "$dir"

echo PASSED

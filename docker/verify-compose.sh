#!/bin/sh
# docker/verify-compose.sh
#
# Runs docker-compose.yml, with all profiles, on podman; verify.sh calls it,
# in namespaces of its own, once the images are there.  redis and prometheus
# are Debian's under the names that the file has.  Grafana is not in Debian:
# what its dashboard asks is asked of Prometheus.

set -eu
cd "$(dirname "$0")/.."

dir=$1
export DOCKER_HOST="unix://$dir/podman.sock"

# no systemd here, so the health checks have no timers

export DISABLE_HC_SYSTEMD=true

die()
{
    echo "FAILED: $*" >&2
    podman logs gateway-verify_gateway_1 2>&1 | grep -v '^{' | tail -n 20 >&2
    exit 1
}

podman() { command podman --log-level=fatal "$@"; }
compose() { docker-compose -p gateway-verify "$@" >>"$dir/compose.log" 2>&1; }

clean_up()
{
    [ -z "$checks" ] || kill "$checks" 2>/dev/null || :
    compose --profile pair --profile monitoring --profile cluster down -v -t 0 || :
    [ -z "$service" ] || kill "$service" 2>/dev/null || :
}
checks=
service=
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

ip link set lo up

rm -f "$dir/podman.sock" "$dir/compose.log"
command podman --log-level=error system service -t 0 "$DOCKER_HOST" \
    2>"$dir/service.log" &
service=$!

(while sleep 1; do
    for id in $(command podman ps -q --filter name=^gateway-verify_); do
        command podman healthcheck run "$id" || :
    done
done) >/dev/null 2>&1 &
checks=$!

# wait_for SECONDS WHAT COMMAND...

wait_for()
{
    left=$1
    what=$2
    shift 2
    until "$@"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || die "$what"
        sleep 1
    done
}

answers() { curl -fsS -m 5 -o "$dir/answer" "$@" 2>/dev/null; }

# has TEXT ARGUMENTS-OF-CURL...

has()
{
    text=$1
    shift
    answers "$@" && grep -q "$text" "$dir/answer"
}

wait_for 20 'podman gives no API' test -S "$dir/podman.sock"

echo 'running docker-compose.yml'

compose up -d --no-build \
    || { tail -n 20 "$dir/compose.log" >&2; die 'it does not start'; }
wait_for 60 'the gateway does not answer' answers http://127.0.0.1:8080/
wait_for 30 'the backends are not all up' sh -c \
    'curl -s http://127.0.0.1:8081/upstreams/backend | python3 -c "
import json, sys
servers = json.load(sys.stdin)[\"servers\"]
sys.exit([s[\"state\"] for s in servers] != [\"up\"] * 3)"'
has tbucket_store_up\ 1 http://127.0.0.1:8081/metrics/tbucket \
    || die 'the gateway is not connected to Redis'
echo '    the gateway, Redis and three backends answer'

healthy()
{
    for id in $(podman ps -q --filter name=^gateway-verify_); do
        [ "$(podman inspect -f '{{ .State.Health.Status }}' "$id")" = healthy ] \
            || return 1
    done
}
wait_for 60 'not every container is healthy' healthy
echo '    and their health checks pass'

echo 'running the profile pair'

compose --profile pair up -d --no-build || die 'it does not start'
wait_for 60 'the second gateway does not answer' answers http://127.0.0.1:8082/
wait_for 20 'the second gateway is not connected to Redis' \
    has tbucket_store_up\ 1 http://127.0.0.1:8083/metrics/tbucket

answers -X PUT -H 'Content-Type: application/json' \
    -d '{"capacity":2,"rate_per_sec":0.001}' \
    http://127.0.0.1:8081/clients/verify \
    || die 'a client cannot be made'
wait_for 10 'the second gateway does not learn of a client' \
    has '"capacity":2,' http://127.0.0.1:8083/clients/verify
echo '    a client made at one gateway is known to the other'

for i in $(seq 10); do
    curl -s -o "$dir/answer" -w '%{http_code}\n' -H 'X-API-Key: verify' \
        "http://127.0.0.1:808$((i % 2 * 2))/"
done >"$dir/codes"
[ "$(grep -c '^200$' "$dir/codes")" -le 2 ] \
    || die "two gateways do not limit as one: $(sort "$dir/codes" | uniq -c | tr '\n' ' ')"
echo '    and limited by both as by one'

compose restart redis || die 'Redis does not start again'

# with another address, it may be

wait_for 30 'the gateway does not find Redis again' \
    has tbucket_store_up\ 1 http://127.0.0.1:8081/metrics/tbucket
podman exec gateway-verify_redis_1 redis-cli HGET 'tbucket:{clients}:clients' \
    verify | grep -q '"capacity":2,' || die 'Redis has lost a client'
echo '    Redis keeps it over a restart'

echo 'running the profile cluster'

compose --profile cluster up -d --no-build \
    || { tail -n 20 "$dir/compose.log" >&2; die 'it does not start'; }
wait_for 90 'the gateway of the cluster does not answer' \
    answers http://127.0.0.1:8084/
wait_for 30 'the gateway is not connected to the cluster' \
    has tbucket_store_up\ 1 http://127.0.0.1:8085/metrics/tbucket

# put CLIENT

put()
{
    answers -X PUT -H 'Content-Type: application/json' \
        -d '{"capacity":2,"rate_per_sec":0.001}' \
        "http://127.0.0.1:8085/clients/$1"
}

for i in $(seq 30); do
    put "verify-$i" || die 'a client cannot be made'
done
keys=$(for n in 1 2 3 4 5 6; do
    podman exec "gateway-verify_cluster-${n}_1" redis-cli role | head -n 1 \
        | grep -q master || continue
    podman exec "gateway-verify_cluster-${n}_1" redis-cli keys '*:clients' \
        | grep -q . && echo "$n"
done | wc -l)
[ "$keys" = 3 ] || die "$keys of three masters have clients"
for i in $(seq 10); do
    curl -s -o "$dir/answer" -w '%{http_code}\n' -H 'X-API-Key: verify-1' \
        http://127.0.0.1:8084/
done >"$dir/codes"
[ "$(grep -c '^200$' "$dir/codes")" = 2 ] \
    || die "a client is not limited: $(sort "$dir/codes" | uniq -c | tr '\n' ' ')"
echo '    three masters share the clients, which are limited'

all()
{
    for i in $(seq 30); do
        put "verify-$i" || return 1
    done
}
compose stop cluster-2 || die 'a master does not stop'
wait_for 90 'writes do not go on after the loss of a master' all
echo '    and writes go on when a master has gone'

compose --profile cluster stop gateway-cluster cluster-1 cluster-2 cluster-3 \
    cluster-4 cluster-5 cluster-6

echo 'running the profile monitoring'

compose --profile monitoring up -d --no-build prometheus \
    || die 'Prometheus does not start'

# query EXPRESSION: sets count to the number of series

query()
{
    curl -fsS -G --data-urlencode "query=$1" \
        http://127.0.0.1:9090/api/v1/query >"$dir/query" 2>/dev/null || return
    count=$(python3 -c 'import json, sys
print(len(json.load(open(sys.argv[1]))["data"]["result"]))' "$dir/query")
}

both_scraped()
{
    answers http://127.0.0.1:8080/ && answers http://127.0.0.1:8082/ \
        && query 'up{instance=~"gateway(-2)?:8081"} == 1' && [ "$count" = 4 ]
}

wait_for 90 'Prometheus does not scrape both gateways' both_scraped
echo '    Prometheus scrapes both gateways'

sleep 12        # a rate takes two scrapes

# what is shown only while it is so need not be so now

# shellcheck disable=SC2016  # the variables are the dashboard's
python3 -c 'import json, re, sys
for panel in json.load(open(sys.argv[1]))["panels"]:
    for target in panel.get("targets", []):
        print(re.sub(r" == 1$", "", re.sub(r"\$(instance|zone|upstream)", ".*",
                                           target["expr"])))' docker/grafana/dashboards/gateway.json \
    >"$dir/expressions"
while read -r expression; do
    query "$expression" || die "Prometheus does not take $expression"
    [ "$count" -gt 0 ] || die "nothing is known of $expression"
done <"$dir/expressions"
echo "    $(wc -l <"$dir/expressions") of the dashboard's queries have an answer"

# once a minute

alerts_evaluated()
{
    [ "$(curl -s http://127.0.0.1:9090/api/v1/rules | grep -o '"health":"ok"' \
         | wc -l)" = "$(grep -c 'alert:' docker/prometheus/alerts.yml)" ]
}
wait_for 90 'an alert cannot be evaluated' alerts_evaluated
echo '    every alert is evaluated'

echo 'stopping it'

answers -X PUT -H 'Content-Type: application/json' \
    -d '{"capacity":1000,"rate_per_sec":10}' \
    http://127.0.0.1:8081/clients/slow || die 'a client cannot be made'
for i in $(seq 50); do
    printf 'url = "http://127.0.0.1:8080/slow?%d"\noutput = "%s"\n' \
        "$i" "$dir/slow"
done >"$dir/urls"
curl -s -Z --parallel-max 50 --parallel-immediate -K "$dir/urls" \
    -H 'X-API-Key: slow' -w '%{http_code}\n' >"$dir/codes" 2>"$dir/error" &
load=$!
in_flight() { has 'Writing: [5-9][0-9]' http://127.0.0.1:8081/status; }
wait_for 10 '50 requests are not in flight' in_flight
compose stop || die 'it does not stop'
wait "$load" || :
[ "$(grep -c '^200$' "$dir/codes")" = 50 ] \
    || die "requests in flight are lost: $(sort "$dir/codes" | uniq -c | tr '\n' ' ')"
[ "$(podman inspect -f '{{ .State.ExitCode }}' gateway-verify_gateway_1)" = 0 ] \
    || die "the gateway's exit code is not 0"
echo '    50 of 50 requests in flight finished, exit code 0'
